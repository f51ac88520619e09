"""The DAGs on the real scheduler, dag processor, API server, executor and triggerer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import httpx
import psutil
import pytest
from conftest import ROWS, Shop, eventually, free_port, needs_spark
from standalone import Airflow

ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")


class Client:
    """Airflow's public REST API, as a person uses it through the UI."""

    def __init__(self, airflow: Airflow) -> None:
        self.airflow = airflow
        token = httpx.post(f"{airflow.url}/auth/token", json={"username": "admin", "password": "admin"}).json()["access_token"]
        self.http = httpx.Client(base_url=f"{airflow.url}/api/v2/", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def unpause(self, dag_id: str) -> None:
        eventually(f"{dag_id} is known", lambda: self.http.get(f"dags/{dag_id}").is_success)
        self.ask("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def scheduled(self, dag_id: str) -> DagRun:
        """Return the run that the scheduler begins when a DAG is unpaused: that of the last interval."""
        self.unpause(dag_id)
        runs = eventually(f"a run of {dag_id}", lambda: self.ask("GET", f"dags/{dag_id}/dagRuns?run_type=scheduled&order_by=id")["dag_runs"])
        return DagRun(self, dag_id, runs[0]["dag_run_id"])

    def trigger(self, dag_id: str) -> DagRun:
        self.unpause(dag_id)
        run = self.ask("POST", f"dags/{dag_id}/dagRuns", {"logical_date": datetime.now(timezone.utc).isoformat()})
        return DagRun(self, dag_id, run["dag_run_id"])


class DagRun:
    def __init__(self, client: Client, dag_id: str, run_id: str) -> None:
        self.client = client
        self.dag_id = dag_id
        self.path = f"dags/{dag_id}/dagRuns/{run_id}"

    def state(self) -> str:
        return self.client.ask("GET", self.path)["state"]

    def task(self, task_id: str = "run") -> dict[str, Any]:
        return self.client.ask("GET", f"{self.path}/taskInstances/{task_id}")

    def tasks(self) -> dict[str, str]:
        return {t["task_id"]: t["state"] for t in self.client.ask("GET", f"{self.path}/taskInstances")["task_instances"]}

    def end(self, patience: float = 90) -> str:
        eventually(f"end of {self.dag_id}", lambda: self.state() in ("success", "failed"), patience)
        return self.state()

    def reach(self, state: str, task_id: str = "run") -> dict[str, Any]:
        return eventually(f"{self.dag_id}.{task_id} is {state}", lambda: (t := self.task(task_id))["state"] == state and t, 90)

    def wait(self) -> None:
        """Return when a triggerer is at work for the task: before, nobody would be there to cancel the run."""
        self.reach("deferred")
        eventually("the trigger runs", lambda: "running: " in self.log())

    def log(self, task_id: str = "run", attempt: int | None = None) -> str:
        attempt = attempt or self.task(task_id)["try_number"]
        content = self.client.ask("GET", f"{self.path}/taskInstances/{task_id}/logs/{attempt}?full_content=true")["content"]
        return "\n".join(str(line) for line in content)

    def xcom(self, task_id: str = "run") -> Any:
        return self.client.ask("GET", f"{self.path}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true")["value"]

    def mark_failed(self, task_id: str = "run") -> None:
        self.client.ask("PATCH", f"{self.path}/taskInstances/{task_id}", {"new_state": "failed"})

    def clear(self, task_id: str = "run") -> None:
        self.client.ask(
            "POST",
            f"dags/{self.dag_id}/clearTaskInstances",
            {"dry_run": False, "only_failed": False, "task_ids": [task_id], "dag_run_id": self.path.rsplit("/", 1)[1]},
        )


@pytest.fixture(scope="module")
def client(pytestconfig: pytest.Config, shop: Shop) -> Iterator[Client]:
    # a killed component is noticed within seconds rather than minutes
    quick = {
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "8",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    }
    airflow = Airflow(
        shop=shop.env, home=pytestconfig.airflow_home, port=free_port(), extra={**pytestconfig.airflow_extra, **quick}
    )
    with airflow.running():
        yield Client(airflow)


@pytest.fixture(autouse=True)
def idle(shop: Shop) -> Iterator[None]:
    """Runs of one name are not at work at once, so none may be left over for the next test."""
    yield
    for run in shop.runs("test_slow"):
        if not run["finished_at"]:
            shop.end(run["id"])


def only_run(shop: Shop, known: int) -> dict[str, Any]:
    """Return the run of test_slow that has begun since there were so many."""
    runs = eventually("a run of test_slow", lambda: (r := shop.runs("test_slow"))[known:] and r)
    assert len(runs) == known + 1
    return runs[-1]


def test_everything_listens_on_loopback_only(client: Client) -> None:
    me = psutil.Process(os.getpid())
    addresses = {
        c.laddr.ip for p in me.children(recursive=True) for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN
    }
    assert addresses and addresses <= {"127.0.0.1", "::1"}


def test_connection_type_and_its_test_button(client: Client) -> None:
    kinds = client.ask("GET", "providers")["providers"]
    assert "shop-connect-provider" in {k["package_name"] for k in kinds}
    wanted = {"connection_id": "shop_connect_default", "conn_type": "shop_connect"}
    given = json.loads(client.airflow.env["AIRFLOW_CONN_SHOP_CONNECT_DEFAULT"])
    body = wanted | {name: given[name] for name in ("host", "port", "login", "password")}
    assert client.ask("POST", "connections/test", body)["status"] is True
    wrong = client.ask("POST", "connections/test", body | {"password": "guess"})
    assert wrong["status"] is False and "401" in wrong["message"]


def test_api_data_processing_brings_new_data_to_stage_and_then_skips(client: Client, shop: Shop) -> None:
    shop.load(ROWS, seed=7)
    run = client.scheduled("api_data_processing")
    assert run.end(180) == "success", run.tasks()
    assert set(run.tasks().values()) == {"success"}
    counts = run.xcom("update_stage_layer")
    assert counts["rows_in"] >= ROWS and counts["rows_in"] == counts["rows_out"] + counts["rows_refused"] + counts["rows_skipped"]
    assert "has succeeded" in run.log("update_stage_layer") and f"{counts['rows_out']:,} out" in run.log("update_stage_layer")
    assert not any(shop.api.get("pending").json().values())

    known = len(shop.runs("copy_raw_to_stage"))
    again = client.trigger("api_data_processing")
    assert again.end() == "success"
    assert set(again.tasks().values()) == {"skipped"}
    assert len(shop.runs("copy_raw_to_stage")) == known


@needs_spark
def test_daily_shop_etl_runs_to_success(client: Client, shop: Shop) -> None:
    run = client.scheduled("daily_shop_etl")
    assert run.end(600) == "success", f"{run.tasks()}\n{run.log('run_spark_daily_job')}"
    assert set(run.tasks().values()) == {"success"}
    # what comes after the catch-up of the test before is customers and products alone
    assert run.xcom("export_customers_to_raw")["run_id"]
    assert not any(shop.api.get("pending").json().values())


def test_a_failing_run_fails_the_task_with_its_own_error_and_counts(client: Client) -> None:
    run = client.trigger("failing")
    assert run.end() == "failed"
    log = run.log()
    assert "the till is on fire" in log and "1 rows in, 0 out" in log


def test_a_refused_run_fails_the_task_and_leaves_the_other_alone(client: Client, shop: Shop) -> None:
    other = shop.start("test_slow")
    run = client.trigger("refused")
    assert run.end() == "failed"
    assert "at work" in run.log()
    assert shop.run(other)["status"] == "running"


def test_a_run_waits_its_turn_where_it_may(client: Client, shop: Shop) -> None:
    other = shop.start("test_slow")
    run = client.trigger("waiting_its_turn")
    run.reach("deferred")
    shop.end(other)
    assert run.end() == "success"
    assert run.xcom()["rows_out"] == 1


def test_a_retry_after_a_failed_run_is_another_run(client: Client, shop: Shop) -> None:
    known = len(shop.runs("test_slow"))
    run = client.trigger("retried")
    assert run.end() == "success"
    assert [r["status"] for r in shop.runs("test_slow")[known:]] == ["failed", "succeeded"]
    assert run.xcom()["rows_out"] == 3


def test_a_killed_task_cancels_its_run(client: Client, shop: Shop) -> None:
    known = len(shop.runs("test_slow"))
    run = client.trigger("killed")
    run.wait()
    started = only_run(shop, known)
    run.mark_failed()
    eventually("the run is cancelled", lambda: shop.run(started["id"])["status"] == "cancelled")
    assert run.end() == "failed"


def test_a_cleared_task_cancels_its_run_and_starts_another(client: Client, shop: Shop) -> None:
    known = len(shop.runs("test_slow"))
    run = client.trigger("cleared")
    run.wait()
    first = only_run(shop, known)
    run.clear()
    eventually("the first run is cancelled", lambda: shop.run(first["id"])["status"] == "cancelled")
    second = only_run(shop, known + 1)
    assert second["id"] != first["id"]
    eventually("the second run is at work", lambda: shop.run(second["id"])["rows_out"] > 0)
    assert run.task()["state"] in ("deferred", "running", "queued", "scheduled")
    shop.end(second["id"])
    assert run.end() == "failed"


def test_a_run_that_is_late_is_cancelled(client: Client, shop: Shop) -> None:
    run = client.trigger("late")
    assert run.end() == "failed"
    assert "was not done in time" in run.log()
    assert shop.runs("test_slow")[-1]["status"] == "cancelled"


def test_another_triggerer_goes_on_where_one_was_killed(client: Client, shop: Shop) -> None:
    known = len(shop.runs("test_slow"))
    run = client.trigger("triggerer_restart")
    run.wait()
    triggerer = client.airflow.components["triggerer"]
    triggerer.kill()
    triggerer.start()
    assert run.end(120) == "success"
    assert only_run(shop, known)["status"] == "succeeded"
    assert run.xcom()["rows_out"] == 80


def test_a_retry_after_a_lost_worker_finds_the_run(client: Client, shop: Shop) -> None:
    known = len(shop.runs("test_slow"))
    run = client.trigger("in_worker")
    started = only_run(shop, known)
    kill_worker(run)
    assert run.end(120) == "success"
    assert run.task()["try_number"] == 2
    assert only_run(shop, known)["id"] == started["id"]
    assert "has been started by an earlier try" in run.log(attempt=2)


def test_a_task_killed_in_a_worker_cancels_its_run(client: Client, shop: Shop) -> None:
    known = len(shop.runs("test_slow"))
    run = client.trigger("killed_in_worker")
    started = only_run(shop, known)
    run.mark_failed()
    eventually("the run is cancelled", lambda: shop.run(started["id"])["status"] == "cancelled")


def kill_worker(run: DagRun) -> None:
    """Kill the process that executes a task, as the machine's want of memory would."""
    scheduler = psutil.Process(run.client.airflow.components["scheduler"].process.pid)
    title = f"airflow worker -- {run.task()['id']}"
    for process in scheduler.children(recursive=True):
        if title in " ".join(process.cmdline()):
            process.kill()
            return
    pytest.fail(f"there is no process {title}")
