"""The operator and the trigger without Airflow's processes, against the real API."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from conftest import Shop
from shop_connect.exceptions import ShopConnectError
from shop_connect.intervals import is_backfill, shop_day
from shop_connect.operators.run import ShopConnectRunOperator
from shop_connect.runs import Run, run_id_of
from shop_connect.sensors.new_data import ShopConnectNewDataSensor
from shop_connect.triggers.run import ShopConnectRunTrigger


class State(dict):
    """The store that Airflow keeps for a task across its tries."""

    set = dict.__setitem__

    def delete(self, key: str) -> None:
        self.pop(key, None)


@pytest.fixture
def context() -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="dag", run_id=str(uuid.uuid4()), task_id="task", map_index=-1)
    return {"ti": ti, "task_state_store": State()}


def operator(**arguments: Any) -> ShopConnectRunOperator:
    return ShopConnectRunOperator(task_id="task", **{"stream": "test_slow", "parameters": {"count": 1, "interval": "10ms"}} | arguments)


def attempt(context: dict[str, Any], task: ShopConnectRunOperator | None = None) -> Any:
    """Execute a try of a task, its trigger included."""
    task = task or operator()
    try:
        return task.execute(context)
    except TaskDeferred as deferred:
        return complete(context, task, event_of(deferred.trigger))


def complete(context: dict[str, Any], task: ShopConnectRunOperator, event: dict[str, Any]) -> Any:
    try:
        return task.execute_complete(context, event)
    except TaskDeferred as deferred:
        return complete(context, task, event_of(deferred.trigger))


def event_of(trigger: ShopConnectRunTrigger) -> dict[str, Any]:
    path, arguments = trigger.serialize()
    assert path == "shop_connect.triggers.run.ShopConnectRunTrigger"

    async def first() -> dict[str, Any]:
        # what another triggerer would make of it
        restored = ShopConnectRunTrigger(**arguments)
        try:
            async for event in restored.run():
                return event.payload
        finally:
            await restored.cleanup()

    return asyncio.run(first())


def test_ids_of_runs_do_not_depend_on_tries() -> None:
    assert uuid.UUID(run_id_of("d", "r", "t", -1, 0)).version == 5
    assert len({run_id_of("d", "r", "t", n, attempt) for n in (-1, 0, 1) for attempt in range(3)}) == 9


def test_a_task_that_is_cleared_after_success_runs_again(shop: Shop, context: dict[str, Any]) -> None:
    first, second = attempt(context), attempt(context)
    assert first["rows_out"] == second["rows_out"] == 1
    assert first["run_id"] != second["run_id"]


def test_a_success_that_nobody_heard_of_is_not_done_again(shop: Shop, context: dict[str, Any]) -> None:
    with pytest.raises(TaskDeferred) as lost:
        operator(parameters={"count": 20, "interval": "100ms"}).execute(context)
    event = event_of(lost.value.trigger)
    assert attempt(context)["run_id"] == event["run_id"]


def test_a_retry_while_the_run_is_at_work_waits_for_it(shop: Shop, context: dict[str, Any]) -> None:
    task = operator(parameters={"count": 20, "interval": "100ms"})
    with pytest.raises(TaskDeferred) as lost:
        task.execute(context)
    assert attempt(context, task)["run_id"] == lost.value.trigger.run_id


def test_a_retry_whose_run_is_cancelled_by_clearing_starts_another(shop: Shop, context: dict[str, Any]) -> None:
    with pytest.raises(TaskDeferred) as cleared:
        operator(parameters={}).execute(context)
    task = operator(parameters={})
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    asyncio.run(cleared.value.trigger.on_kill())
    event = event_of(deferred.value.trigger)
    task.parameters = {"count": 1}
    counts = complete(context, task, event)
    assert counts["run_id"] != cleared.value.trigger.run_id
    assert counts["rows_out"] == 1


def test_a_run_that_somebody_cancels_is_not_retried(shop: Shop, context: dict[str, Any]) -> None:
    task = operator(parameters={})
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    shop.end(deferred.value.trigger.run_id)
    with pytest.raises(AirflowFailException, match="was cancelled"):
        task.execute_complete(context, event_of(deferred.value.trigger))


def test_a_request_that_is_wrong_is_not_retried(shop: Shop, context: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match="is not one of true, false"):
        operator(parameters={"fail": "perhaps"}).execute(context)
    with pytest.raises(AirflowFailException, match="no_such_stream"):
        operator(stream="no_such_stream").execute(context)


def test_a_failure_has_the_error_and_the_counts_of_the_run(shop: Shop, context: dict[str, Any]) -> None:
    with pytest.raises(ShopConnectError, match="the till is on fire.*1 rows in, 0 out"):
        attempt(context, operator(parameters={"fail": True, "count": 1}))


def test_the_time_to_wait_for_another_run_ends(shop: Shop, context: dict[str, Any]) -> None:
    other = shop.start("test_slow")
    try:
        with pytest.raises(ShopConnectError, match="time to wait was over"):
            attempt(context, operator(busy_timeout=timedelta(seconds=1)))
    finally:
        shop.end(other)


def test_a_worker_waits_by_itself_where_there_is_no_triggerer(shop: Shop, context: dict[str, Any]) -> None:
    assert operator(deferrable=False).execute(context)["rows_out"] == 1


def test_nothing_new_is_a_skip_or_a_time_out(shop: Shop, context: dict[str, Any]) -> None:
    shop.settle()
    with pytest.raises(AirflowSkipException, match="nothing new"):
        ShopConnectNewDataSensor(task_id="new", timeout=0, soft_fail=True).execute(context)
    with pytest.raises(AirflowSensorTimeout):
        ShopConnectNewDataSensor(task_id="new", timeout=0).execute(context)
    with pytest.raises(TaskDeferred) as deferred:
        ShopConnectNewDataSensor(task_id="new", timeout=60, poke_interval=0.2).execute(context)
    shop.load(100, seed=99)

    async def first() -> dict[str, Any]:
        async for event in deferred.value.trigger.run():
            return event.payload

    pending = asyncio.run(first())["pending"]
    assert any(pending.values())


def test_an_api_that_is_away_is_no_skip(monkeypatch: pytest.MonkeyPatch, context: dict[str, Any]) -> None:
    sensor = ShopConnectNewDataSensor(task_id="new", timeout=0, soft_fail=True)
    with pytest.raises(ShopConnectError, match="away"):
        sensor.execute_complete(context, {"error": "away"})


def test_days_are_those_of_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    run = SimpleNamespace(data_interval_start=pendulum.datetime(2026, 1, 1, 23, 30), run_after=None, run_type="scheduled")
    assert shop_day(run) == "2026-01-01"
    monkeypatch.setenv("SHOP_TIMEZONE", "Europe/Berlin")
    assert shop_day(run) == "2026-01-02"
    run = SimpleNamespace(data_interval_start=None, run_after=pendulum.datetime(2026, 1, 3, 12), run_type="backfill")
    assert (shop_day(run), is_backfill(run)) == ("2026-01-02", True)


def test_a_run_is_described_in_one_line() -> None:
    run = Run.of({"id": "1", "name": "n", "status": "running", "rows_in": 1234567, "rows_out": 1234000, "rows_refused": 567, "objects": 2, "bytes": 12_345_678, "progress": "day 3 of 4"})
    assert run.describe() == "1,234,567 rows in, 1,234,000 out, 567 refused, 0 skipped; 2 objects, 12.3 MB; day 3 of 4"
