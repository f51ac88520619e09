"""DAG api_data_processing: what has come in since the last time, from the outbox to STAGE."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable
from shop_connect.assets import RAW, STAGE
from shop_connect.intervals import is_backfill, shop_day
from shop_connect.operators.run import ShopConnectRunOperator
from shop_connect.sensors.new_data import ShopConnectNewDataSensor

with DAG(
    dag_id="api_data_processing",
    description="What has come in since the last time, from the outbox to STAGE",
    schedule=CronDataIntervalTimetable("*/30 * * * *", timezone=os.environ.get("SHOP_TIMEZONE", "UTC")),
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    default_args={
        "owner": "shop-connect",
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(minutes=30),
    },
    user_defined_macros={"is_backfill": is_backfill, "shop_day": shop_day},
    tags=["shop-connect"],
    doc_md="""
### api_data_processing

Every 30 minutes brings what has come in on its way to STAGE: events of the outbox to Kafka, records of Kafka to RAW,
objects of RAW, checked against their contracts, to STAGE. Nothing new: all is skipped after one small question.

Each task is a run of a batch stream of `streams/`, with its counts in the task's log and its XCom. What is refused is in
quarantine and does not fail a task. Clearing any task is safe: what is done already is not done twice.

A **backfill** stages the days of its intervals again as far as RAW has something that STAGE has not, and lists the
whole folder of the day to find what others have put there.
""",
) as dag:
    check_for_new_data = ShopConnectNewDataSensor(
        task_id="check_for_new_data",
        timeout=0,
        soft_fail=True,
        doc_md="Asks how much waits before Kafka, RAW and STAGE. Where it is nothing, all tasks behind it are skipped.",
    )
    process_purchases_from_api = ShopConnectRunOperator(
        task_id="process_purchases_from_api",
        stream="process_purchases_from_api",
        doc_md="Everything that the API has committed to its outbox by now is in Kafka behind this.",
    )
    process_kafka_data = ShopConnectRunOperator(
        task_id="process_kafka_data",
        stream="process_kafka_data",
        outlets=[RAW],
        doc_md="Everything that is in Kafka by now is in RAW behind this, whether this has read it or the continuous streams.",
    )
    update_stage_layer = ShopConnectRunOperator(
        task_id="update_stage_layer",
        stream="copy_raw_to_stage",
        parameters={
            "entity": "all",
            "date": "{{ shop_day(dag_run) if is_backfill(dag_run) else '' }}",
            "full": "{{ 'true' if is_backfill(dag_run) else 'false' }}",
        },
        busy_timeout=timedelta(minutes=20),
        outlets=[STAGE],
        doc_md="Every object of RAW that STAGE has not, of whatever day: late purchases go to the day that they are of.",
    )

    check_for_new_data >> process_purchases_from_api >> process_kafka_data >> update_stage_layer
