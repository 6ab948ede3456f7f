"""The service in examples/, started for real and driven over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import httpx2 as httpx
import pytest

from conftest import ROOT
from test_middleware_frameworks import free_port

FOLDER = ROOT / "examples" / "service"
BROWSER = {
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "accept-language": "en-US,en;q=0.5",
}
_LONGEST_START_S = 120
SCANNER = {"user-agent": "sqlmap/1.8"}


class Service:
    """One run of it."""

    def __init__(self, model, **variables):
        port = free_port()
        env = os.environ | {"FRAUDLOG_MODEL": str(model), "CHECK_EVERY_S": "0.1", "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--no-access-log"]
        self.process = subprocess.Popen(
            command, cwd=FOLDER, env=env | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def __enter__(self):
        try:
            self.wait_for(lambda found: found is not None)
        except AssertionError:
            self.__exit__()
            raise AssertionError(self.output) from None
        return self

    def wait_for(self, is_right):
        began = time.monotonic()
        while time.monotonic() - began < _LONGEST_START_S and self.process.poll() is None:
            try:
                found = self.client.get("/health").json()
            except httpx.TransportError:
                found = None
            if is_right(found):
                return found
            time.sleep(0.05)
        raise AssertionError("the service does not run, or never said so")

    def get(self, path, **headers):
        return self.client.get(path, headers=headers)

    def __exit__(self, *_raised):
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.output, _ = self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def model(tmp_path_factory, sample_detector):
    path = tmp_path_factory.mktemp("model") / "sample.fraudlog"
    sample_detector.save(path)
    return path


def test_a_scanner_is_challenged_and_a_browser_is_not(model):
    """With enforcement; passing the challenge opens the shop, a made-up pass does not."""
    with Service(model, ENFORCE="1") as service:
        service.wait_for(lambda found: found["model"])
        for _ in range(200):  # a probe that asks often, from the address of everybody else
            service.get("/health")
        assert service.get("/", **BROWSER).status_code == 200
        for path in ("/.env", "/wp-login.php", "/.git/config"):
            service.get(path, **SCANNER)
        sent = service.get("/", **SCANNER)
        assert (sent.status_code, sent.headers["location"]) == (303, "/challenge")
        assert "I am a person" in service.get("/challenge", **SCANNER).text
        assert service.get("/", cookie="passed=9999999999.00", **SCANNER).status_code == 303
        passed = service.client.post("/challenge", headers=SCANNER)
        assert "passed=" in passed.headers["set-cookie"]
        assert service.get("/", **SCANNER).status_code == 200
        service.client.cookies.clear()
        assert service.get("/", **BROWSER).status_code == 200
        health = service.get("/health").json()
        assert health["failures"] == 0
        assert health["verdicts"]["challenge"] >= 1
    assert "Application shutdown complete" in service.output
    assert "Traceback" not in service.output


def test_it_starts_without_a_model_and_takes_one_later(model, tmp_path):
    """A dry run by default; a damaged file leaves the model that was there."""
    path = tmp_path / "model.fraudlog"
    with Service(path) as service:
        assert not service.get("/health").json()["model"]
        path.write_bytes(b"damaged")
        service.wait_for(lambda found: found["models_refused"])
        assert "You are" in service.get("/", **BROWSER).text
        path.write_bytes(model.read_bytes())
        service.wait_for(lambda found: found["model"])
        for name in ("/.env", "/wp-login.php", "/.git/config"):
            service.get(name, **SCANNER)
        assert service.get("/", **SCANNER).status_code == 200
        assert service.get("/health").json()["verdicts"]["challenge"] >= 1
        answer = service.client.post("/login", content="ann", headers=BROWSER)
        assert answer.status_code == 401
        assert service.get("/health").json()["failures"] == 0
    assert "the model stays as it is" in service.output
    assert "Traceback" not in service.output
