"""A site to run the job on: a log that grows, a model, a key and a configuration."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, Any

import fraudlog as fl
from conftest import SAMPLE
from fraudlog.jobs import load_config, run_job, sample_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fraudlog.jobs import JobConfig, RunReport

KEY = bytes(range(32)).hex()


def sample_lines(n_lines: int) -> list[bytes]:
    """The first lines of the sample log, with their ends."""
    with gzip.open(SAMPLE) as log:
        return [next(log) for _ in range(n_lines)]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a store but the ledger's."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and "ledger" not in file.relative_to(folder).parts
    }


class Site:
    """A folder with a log, and the job that reads it."""

    def __init__(self, folder: Path, model: Path, **values: Any) -> None:
        self.folder = folder
        self.log = folder / "logs" / "access.log"
        self.log.parent.mkdir(parents=True)
        self.key = folder.parent / "key"
        if not self.key.exists():
            self.key.write_text(KEY)
            self.key.chmod(0o600)
        given = {
            "store.path": str(folder / "store"),
            "log.path": str(self.log),
            "model.path": str(model),
            "run.take_mb": 1,
            "privacy.key_file": str(self.key),
        }
        self.write_config(given | values)

    def write_config(self, values: Mapping[str, Any]) -> None:
        self.settings = dict(values)
        self.file = self.folder / "job.toml"
        self.file.write_text(sample_config(self.settings))

    @property
    def config(self) -> JobConfig:
        return load_config(self.file)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def append(self, data: bytes) -> None:
        with self.log.open("ab") as log:
            log.write(data)

    def run(self, **options: Any) -> RunReport:
        return run_job(self.config, **options)

    def tree(self) -> dict[str, bytes]:
        return tree(self.store)


def small_model(folder: Path) -> Path:
    """The file of a detector that learnt little."""
    path = folder / "model.fraudlog"
    sessions = fl.build_sessions(fl.read_log(io.BytesIO(b"".join(sample_lines(1500)))).table)
    fl.Detector(n_estimators=20).fit(sessions).save(path)
    return path
