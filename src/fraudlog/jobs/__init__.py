"""The scheduled job: what came in since last time, exactly once, into the store, and decisions out of it.

`run_job` is what ``fraudlog job run`` calls. One run is a line of *takes*; each is one transaction of the store, and
moves together what was read, the open sessions, the rows and where the reading stands. A process may die anywhere:
the next run goes on from the last whole take.
"""

from fraudlog.jobs.config import KEYS, JobConfig, config_page, load_config, sample_config
from fraudlog.jobs.run import RunReport, job_status, run_job

__all__ = [
    "KEYS",
    "JobConfig",
    "RunReport",
    "config_page",
    "job_status",
    "load_config",
    "run_job",
    "sample_config",
]
