"""The DAGs by `dag.test()`, in this process, without a scheduler."""

from __future__ import annotations

import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.models.dagrun import DagRun
from conftest import AIRFLOW, Shop

ROWS = 3000


def run(dag_id: str, at: pendulum.DateTime) -> dict[str, str]:
    dag = DagBag(dag_folder=str(AIRFLOW / "dags"), bundle_name="dags").dags[dag_id]
    for task in dag.tasks:
        task.retries = 0  # what fails shall say so now, and not after the pauses between tries
    ran = dag.test(logical_date=at)
    assert isinstance(ran, DagRun)
    return {t.task_id: str(t.state) for t in ran.get_task_instances()}


def test_api_data_processing_processes_what_is_new_and_skips_when_nothing_is(shop: Shop) -> None:
    shop.load(ROWS, seed=3)
    before = len(shop.runs("copy_raw_to_stage"))
    states = run("api_data_processing", pendulum.now("UTC"))
    assert set(states.values()) == {"success"}, states
    staged = shop.runs("copy_raw_to_stage")[before:]
    assert [r["status"] for r in staged] == ["succeeded"] and staged[0]["rows_in"] >= ROWS
    assert not any(shop.api.get("pending").json().values())

    states = run("api_data_processing", pendulum.now("UTC").add(hours=1))
    assert set(states.values()) == {"skipped"}, states
    assert len(shop.runs("copy_raw_to_stage")) == before + 1


def test_daily_shop_etl_does_the_books_of_its_day(shop: Shop) -> None:
    shop.load(ROWS, seed=4)
    today = pendulum.now("UTC").start_of("day").add(hours=3)
    states = run("daily_shop_etl", today)
    assert set(states.values()) == {"success"}, states
    export = shop.runs("upload_products_to_raw")[-1]
    assert export["status"] == "succeeded" and export["rows_in"] > 0
    assert export["parameters"]["date"] == today.subtract(days=1).to_date_string()
    assert not any(shop.api.get("pending").json().values())
