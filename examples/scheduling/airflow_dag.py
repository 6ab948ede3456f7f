"""An Airflow DAG: one run an interval, up to the interval's end, so that a backfill takes days one after another."""

from datetime import datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="fraudlog",
    schedule=timedelta(hours=1),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,  # a store has one writer; a second would leave with exit code 4
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},  # a run that failed is safe to repeat
):
    BashOperator(
        task_id="run",
        bash_command=(
            "fraudlog job run --config /etc/fraudlog/job.toml --json "
            "--until {{ data_interval_end.strftime('%Y-%m-%dT%H:%M:%S') }}"
        ),
        skip_on_exit_code=4,
    )
