"""What a DAG run is of, for templates: ``{{ shop_day(dag_run) }}``."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol


def shop_day(dag_run: DagRunProtocol) -> str:
    """Return the business day on which a run's data interval begins; without an interval, the day before the run."""
    begin = dag_run.data_interval_start or dag_run.run_after - timedelta(days=1)
    # I6: days are those of the shop's time zone
    return begin.astimezone(ZoneInfo(os.environ.get("SHOP_TIMEZONE") or "UTC")).date().isoformat()


def is_backfill(dag_run: DagRunProtocol) -> bool:
    return dag_run.run_type == "backfill"
