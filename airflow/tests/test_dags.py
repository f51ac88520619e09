"""What the DAGs are: exactly what clients of this system know them as."""

from __future__ import annotations

import warnings
from datetime import timedelta

import pendulum
import pytest
from airflow.dag_processing.dagbag import DagBag
from conftest import AIRFLOW

DAGS = {
    "api_data_processing": (
        "*/30 * * * *",
        {
            "check_for_new_data": {"process_purchases_from_api"},
            "process_purchases_from_api": {"process_kafka_data"},
            "process_kafka_data": {"update_stage_layer"},
            "update_stage_layer": set(),
        },
    ),
    "daily_shop_etl": (
        "0 2 * * *",
        {
            "upload_products_to_raw": {"copy_raw_to_stage_with_validation"},
            "export_customers_to_raw": {"copy_raw_to_stage_with_validation"},
            "process_kafka_data": {"copy_raw_to_stage_with_validation"},
            "copy_raw_to_stage_with_validation": {"run_spark_daily_job"},
            "run_spark_daily_job": set(),
        },
    ),
}


@pytest.fixture(scope="module")
def bag() -> DagBag:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return DagBag(dag_folder=str(AIRFLOW / "dags"), bundle_name="dags")


def test_all_dags_import_without_error_or_warning(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert not any(bag.captured_warnings.values())
    assert set(bag.dags) == set(DAGS)


@pytest.mark.parametrize("dag_id", DAGS)
def test_tasks_and_their_order(bag: DagBag, dag_id: str) -> None:
    assert {t.task_id: t.downstream_task_ids for t in bag.dags[dag_id].tasks} == DAGS[dag_id][1]


@pytest.mark.parametrize("dag_id", DAGS)
def test_schedule_has_data_intervals(bag: DagBag, dag_id: str) -> None:
    from airflow.serialization.encoders import coerce_to_core_timetable

    dag = bag.dags[dag_id]
    timetable = coerce_to_core_timetable(dag.timetable)
    assert timetable.summary == DAGS[dag_id][0]
    interval = timetable.infer_manual_data_interval(run_after=pendulum.datetime(2026, 1, 2, 2, 10))
    assert interval.end == pendulum.datetime(2026, 1, 2, 2, 0)
    assert interval.start == interval.end - (timedelta(days=1) if dag_id == "daily_shop_etl" else timedelta(minutes=30))
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    assert dag.dagrun_timeout


@pytest.mark.parametrize("dag_id", DAGS)
def test_every_task_is_documented_bounded_and_retried_with_backoff(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert dag.doc_md
    for t in dag.tasks:
        assert t.doc_md and t.retries and t.retry_exponential_backoff and t.max_retry_delay, t.task_id
        assert t.execution_timeout and t.execution_timeout < dag.dagrun_timeout, t.task_id


@pytest.mark.parametrize(
    ("dag_id", "outlets"),
    [
        ("api_data_processing", {"process_kafka_data": "raw", "update_stage_layer": "stage"}),
        (
            "daily_shop_etl",
            {
                "upload_products_to_raw": "raw",
                "export_customers_to_raw": "raw",
                "process_kafka_data": "raw",
                "copy_raw_to_stage_with_validation": "stage",
                "run_spark_daily_job": "analytics",
            },
        ),
    ],
)
def test_tasks_update_the_layers_that_they_write(bag: DagBag, dag_id: str, outlets: dict[str, str]) -> None:
    assert {t.task_id: t.outlets[0].name for t in bag.dags[dag_id].tasks if t.outlets} == outlets
