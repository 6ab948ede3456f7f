"""The examples of how to schedule the job are valid for the programs they are for."""

from __future__ import annotations

import importlib.util
import re
import shutil
import stat
import subprocess

import pytest

from conftest import ROOT

EXAMPLES = ROOT / "examples" / "scheduling"


def test_the_cron_line_has_five_fields_a_user_and_a_command():
    """And the command is one that there is."""
    (line,) = (line for line in (EXAMPLES / "fraudlog.cron").read_text().splitlines() if re.match(r"[*\d]", line))
    *fields, user, command = line.split(maxsplit=6)
    assert len(fields) == 5
    assert all(re.fullmatch(r"(\*|\d+)(/\d+)?", field) for field in fields)
    assert user == "fraudlog"
    assert command.startswith("/usr/local/bin/fraudlog job run --config ")
    assert "%" not in command  # cron would end the line there


def test_cron_takes_a_held_lock_for_fine(tmp_path):
    """The shell that cron starts gives 0 for exit codes 0 and 4, and an error for others."""
    line = (EXAMPLES / "fraudlog.cron").read_text().splitlines()[-1]
    command = line.split(maxsplit=6)[6]
    for code, expected in ((0, 0), (4, 0), (3, 1)):
        program = tmp_path / "fraudlog"
        program.write_text(f"#!/bin/sh\nexit {code}\n")
        program.chmod(0o755)
        changed = command.replace("/usr/local/bin/fraudlog", str(program)).replace("/var/log/fraudlog", str(tmp_path))
        assert subprocess.run(["sh", "-c", changed], check=False).returncode == expected


def test_systemd_takes_the_units(tmp_path):
    """`systemd-analyze` finds nothing wrong, and little that an attacker of the service could reach."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is absent")
    program = tmp_path / "fraudlog"
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    for name in ("fraudlog.service", "fraudlog.timer"):
        text = (EXAMPLES / name).read_text().replace("/usr/local/bin/fraudlog", str(program))
        (tmp_path / name).write_text(text)
    units = [tmp_path / name for name in ("fraudlog.service", "fraudlog.timer")]
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=15", units[0]]
    security = subprocess.run(command, capture_output=True, text=True, check=False)
    assert security.returncode == 0, security.stdout[-500:]


def test_the_kubernetes_job_is_hardened_and_single():
    """One document with the fields that a CronJob of batch/v1 has; every mount has its volume."""
    yaml = pytest.importorskip("yaml")
    (job,) = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"].keys() <= {
        "schedule",
        "concurrencyPolicy",
        "startingDeadlineSeconds",
        "successfulJobsHistoryLimit",
        "failedJobsHistoryLimit",
        "jobTemplate",
    }
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][:2] == ["job", "run"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["securityContext"]["runAsNonRoot"] is container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
    assert "value" not in container["env"][0]  # the key comes from a secret


@pytest.mark.parametrize(("name", "needs"), [("airflow_dag.py", "airflow"), ("dagster_defs.py", "dagster")])
def test_other_schedulers_take_their_files(name, needs):
    """Each compiles; where its scheduler is installed, it loads."""
    compile((EXAMPLES / name).read_text(), name, "exec")
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    specification = importlib.util.spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
