"""DAGs whose single task is in a situation that the shipped ones are seldom in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DAG
from shop_connect.operators.run import ShopConnectRunOperator


def case(dag_id: str, **arguments: Any) -> DAG:
    with DAG(dag_id=dag_id, start_date=datetime(2025, 1, 1), schedule=None, default_args={"retries": 0, "retry_delay": timedelta(seconds=1)}) as dag:
        ShopConnectRunOperator(task_id="run", stream="test_slow", poll_interval=1, **arguments)
    return dag


failing = case("failing", parameters={"fail": "true", "count": 1})
refused = case("refused")
waiting_its_turn = case("waiting_its_turn", parameters={"count": 1}, busy_timeout=timedelta(minutes=2))
retried = case("retried", parameters={"fail": "{{ 'true' if ti.try_number == 1 else 'false' }}", "count": 3, "interval": "10ms"}, retries=1)
killed = case("killed")
cleared = case("cleared")
late = case("late", run_timeout=timedelta(seconds=2))
triggerer_restart = case("triggerer_restart", parameters={"count": 80})
in_worker = case("in_worker", parameters={"count": 80}, deferrable=False, retries=1)
killed_in_worker = case("killed_in_worker", deferrable=False)
