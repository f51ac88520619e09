"""Starts what the tests run against: `shop-connect up` with its shipped pipelines, and data through its API."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

AIRFLOW = Path(__file__).resolve().parents[1]
ROOT = AIRFLOW.parent
TESTS = AIRFLOW / "tests"
BINARY = ROOT / "bin" / "shop-connect"
READY = "shop-connect is up"
ROWS = 5000
needs_spark = pytest.mark.skipif(not os.environ.get("SHOP_TEST_SPARK"), reason="set SHOP_TEST_SPARK to run Spark from Airflow")

sys.path[:0] = [str(AIRFLOW), str(AIRFLOW / "plugins")]


def free_port() -> int:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def eventually(what: str, condition: Callable[[], Any], patience: float = 60.0, interval: float = 0.2) -> Any:
    """Wait for what other processes bring about; there is no signal to wait for across them."""
    until = time.monotonic() + patience
    while True:
        if seen := condition():
            return seen
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {patience:.0f} s")
        time.sleep(interval)


class Shop:
    """A running `shop-connect up` of the tests' own."""

    def __init__(self, work: Path) -> None:
        self.data_dir = work / "shop"
        self.streams = work / "streams"
        shutil.copytree(ROOT / "streams", self.streams)
        shutil.copytree(TESTS / "streams", self.streams, dirs_exist_ok=True)
        self.log = work / "shop.log"
        ports = [f"--port-{name}=0" for name in ("api", "streams", "kafka", "s3", "postgres", "clickhouse")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [BINARY, "up", "--data-dir", self.data_dir, "--streams", self.streams, *ports],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        for line in self.process.stdout:
            if line.startswith(READY):
                break
        else:
            sys.exit(f"shop-connect up has ended:\n{self.log.read_text()}")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        from standalone import read_env

        self.env = read_env(self.data_dir)
        self.api = httpx.Client(base_url=f"http://{self.env['API_ADDRESS']}/api/v1/", timeout=60)
        token = self.api.post("token", json={"username": "admin", "password": "admin"}).json()["access_token"]
        self.api.headers["Authorization"] = f"Bearer {token}"

    def load(self, rows: int, seed: int) -> None:
        done = subprocess.run(
            [BINARY, "load", "--data-dir", self.data_dir, "--generate", str(rows), "--seed", str(seed), "--days", "3"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def runs(self, stream: str) -> list[dict[str, Any]]:
        """Return the runs of a stream, the oldest first."""
        return self.api.get("runs", params={"name": stream}).json()[::-1]

    def start(self, stream: str, **parameters: Any) -> str:
        answer = self.api.post("runs", json={"name": stream, "params": parameters, "run_id": str(uuid.uuid4())})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    def run(self, run_id: str) -> dict[str, Any]:
        return self.api.get(f"runs/{run_id}").json()

    def end(self, run_id: str) -> dict[str, Any]:
        """Cancel a run, and return it when it has ended."""
        self.api.post(f"runs/{run_id}/cancel")
        return eventually(f"end of run {run_id}", lambda: (run := self.run(run_id))["finished_at"] and run)

    def settle(self) -> None:
        """Bring to STAGE what is there, so that nothing new is left."""
        for stream, parameters in (("process_purchases_from_api", {}), ("process_kafka_data", {}), ("copy_raw_to_stage", {"entity": "all"})):
            run_id = self.start(stream, **parameters)
            run = eventually(f"end of {stream}", lambda run_id=run_id: (run := self.run(run_id))["finished_at"] and run)
            assert run["status"] == "succeeded", run
        eventually("nothing is pending", lambda: not any(self.api.get("pending").json().values()))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Airflow reads its environment when it is imported, which is when tests are collected."""
    config = session.config
    if config.option.collectonly:
        return
    if not BINARY.exists():
        sys.exit(f"{BINARY} is not there: make build install")
    if config.option.basetemp:
        work = Path(config.option.basetemp).resolve()  # to look at afterwards
        work.mkdir(parents=True)
    else:
        work = Path(tempfile.mkdtemp(prefix="shop-connect-airflow-"))
        config.add_cleanup(lambda: shutil.rmtree(work, ignore_errors=True))
    config.shop = shop = Shop(work)
    config.add_cleanup(shop.stop)
    from standalone import migrate, settings

    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    config.airflow_extra = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [{"name": name, "classpath": bundle, "kwargs": {"path": str(path)}} for name, path in (("dags", AIRFLOW / "dags"), ("tests", TESTS / "dags"))]
        ),
    }
    config.airflow_home = work / "airflow"
    os.environ.update(settings(shop=shop.env, home=config.airflow_home, port=free_port()))
    os.environ.update(config.airflow_extra)
    migrate(os.environ)


@pytest.fixture(scope="session")
def shop(pytestconfig: pytest.Config) -> Iterator[Shop]:
    return pytestconfig.shop
