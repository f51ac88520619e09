"""DAG daily_shop_etl: the books of the day before, from every source to the recomputed statistics."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, CronDataIntervalTimetable
from shop_connect.assets import ANALYTICS, RAW, STAGE
from shop_connect.intervals import is_backfill, shop_day
from shop_connect.operators.run import ShopConnectRunOperator
from shop_connect.spark import spark_jars

JOBS = Path(os.environ.get("SHOP_JOBS_DIR") or Path(__file__).resolve().parents[1] / "jobs")

# A backfill exports again what has changed since its day, under the name of that day.
EXPORT = {
    "date": "{{ shop_day(dag_run) }}",
    "since": "{{ shop_day(dag_run) if is_backfill(dag_run) else '' }}",
}

with DAG(
    dag_id="daily_shop_etl",
    description="The books of the day before, from every source to the recomputed statistics",
    schedule=CronDataIntervalTimetable("0 2 * * *", timezone=os.environ.get("SHOP_TIMEZONE", "UTC")),
    start_date=datetime(2025, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    default_args={
        "owner": "shop-connect",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(hours=2),
        "busy_timeout": timedelta(minutes=30),
    },
    user_defined_macros={"is_backfill": is_backfill, "shop_day": shop_day, "spark_jars": spark_jars},
    tags=["shop-connect"],
    doc_md="""
### daily_shop_etl

At 02:00 of the shop's time zone does the books of the day before: products and customers from PostgreSQL and all that is in
Kafka to RAW, RAW to STAGE with every row checked against its contract, and then the daily Spark job, which recomputes the
statistics of that day and corrects what late products and deletions have changed.

The day is that of the beginning of the run's data interval; a **backfill** does it for each day of its range, one after
the other. Clearing any task is safe: what is done already is not done twice.
""",
) as dag:
    upload_products_to_raw = ShopConnectRunOperator(
        task_id="upload_products_to_raw",
        stream="upload_products_to_raw",
        parameters=EXPORT,
        outlets=[RAW],
        doc_md="Products that have changed since the last export, and those that are gone, as one object of RAW.",
    )
    export_customers_to_raw = ShopConnectRunOperator(
        task_id="export_customers_to_raw",
        stream="export_customers_to_raw",
        parameters=EXPORT,
        outlets=[RAW],
        doc_md="Customers that have changed since the last export, and those that are gone, as one object of RAW.",
    )
    process_kafka_data = ShopConnectRunOperator(
        task_id="process_kafka_data",
        stream="process_kafka_data",
        outlets=[RAW],
        doc_md="Everything that is in Kafka by now is in RAW behind this.",
    )
    copy_raw_to_stage_with_validation = ShopConnectRunOperator(
        task_id="copy_raw_to_stage_with_validation",
        stream="copy_raw_to_stage",
        parameters={
            "entity": "all",
            "date": "{{ shop_day(dag_run) if is_backfill(dag_run) else '' }}",
            "full": "true",
        },
        outlets=[STAGE],
        doc_md="Every object of RAW that STAGE has not, also those that others have put there; bad rows go to quarantine.",
    )
    run_spark_daily_job = SparkSubmitOperator(
        task_id="run_spark_daily_job",
        conn_id="spark_default",
        application=str(JOBS / "daily_job.py"),
        application_args=["--date", "{{ shop_day(dag_run) }}"],
        jars="{{ spark_jars() }}",
        properties_file=str(JOBS / "spark.properties"),
        conf={"spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile=file:{JOBS / 'log4j2.properties'}"},
        name="daily_shop_etl {{ shop_day(dag_run) }}",
        retries=1,
        outlets=[ANALYTICS],
        doc_md="Recomputes the statistics of the day from STAGE and Iceberg and corrects the facts; see `airflow/jobs`.",
    )

    (
        [upload_products_to_raw, export_customers_to_raw, process_kafka_data]
        >> copy_raw_to_stage_with_validation
        >> run_spark_daily_job
    )
