"""The layers of the data as assets: what a DAG of your own may be scheduled on."""

from __future__ import annotations

from airflow.sdk import Asset

RAW = Asset(name="raw", uri="s3://shop-raw-data/")
STAGE = Asset(name="stage", uri="s3://shop-stage-data/")
ANALYTICS = Asset(name="analytics", uri="s3://analytics/")
