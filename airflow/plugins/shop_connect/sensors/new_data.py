from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from shop_connect.exceptions import ShopConnectError
from shop_connect.hooks.shop_connect import ShopConnectHook
from shop_connect.triggers.new_data import ShopConnectNewDataTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class ShopConnectNewDataSensor(BaseSensorOperator):
    """
    Waits until there is something for a batch run to do, and returns how much by layer.

    One look is three small queries, whatever the amount of data. With ``timeout=0`` it looks once; with
    ``soft_fail=True`` nothing to do is a skip. An API that does not answer is a failure, never a skip.

    :param shop_connect_conn_id: connection to the API.
    :param deferrable: wait in the triggerer rather than in a worker.
    """

    template_fields: Sequence[str] = ("shop_connect_conn_id",)
    ui_color = "#e8f1f8"

    def __init__(
        self,
        *,
        shop_connect_conn_id: str = ShopConnectHook.default_conn_name,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.shop_connect_conn_id = shop_connect_conn_id
        self.deferrable = deferrable

    def poke(self, context: Context) -> PokeReturnValue:
        hook = ShopConnectHook(self.shop_connect_conn_id)
        try:
            pending = hook.pending()
        finally:
            hook.close()
        self.log.info("waiting: %s", _told(pending))
        return PokeReturnValue(is_done=any(pending.values()), xcom_value=pending)

    def execute(self, context: Context) -> Any:
        if self.timeout and not self.deferrable:
            return super().execute(context)
        found = self.poke(context)
        if found:
            return found.xcom_value
        if not self.timeout:
            return self._nothing()
        return self.defer(
            trigger=ShopConnectNewDataTrigger(
                shop_connect_conn_id=self.shop_connect_conn_id,
                deadline=time.time() + self.timeout,
                poll_interval=self.poke_interval,
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        if "error" in event:
            raise ShopConnectError(event["error"])
        pending = event["pending"]
        self.log.info("waiting: %s", _told(pending))
        return pending if any(pending.values()) else self._nothing()

    def _nothing(self) -> None:
        message = "nothing new has come"
        raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(message)


def _told(pending: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in pending.items())
