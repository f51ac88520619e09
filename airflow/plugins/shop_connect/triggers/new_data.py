from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from shop_connect.exceptions import ShopConnectError
from shop_connect.hooks.shop_connect import ShopConnectHook


class ShopConnectNewDataTrigger(BaseTrigger):
    """
    Waits until something waits to be processed.

    :param deadline: when it gives up, as of ``time.time()``.
    :param poll_interval: seconds between looks.
    """

    def __init__(self, *, shop_connect_conn_id: str, deadline: float, poll_interval: float) -> None:
        super().__init__()
        self.shop_connect_conn_id = shop_connect_conn_id
        self.deadline = deadline
        self.poll_interval = poll_interval
        self._hook = ShopConnectHook(shop_connect_conn_id)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "shop_connect_conn_id": self.shop_connect_conn_id,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            pending = await self._hook.apending()
            while not any(pending.values()) and time.time() + self.poll_interval < self.deadline:
                await asyncio.sleep(self.poll_interval)
                pending = await self._hook.apending()
        except ShopConnectError as error:
            yield TriggerEvent({"error": str(error)})
        else:
            yield TriggerEvent({"pending": pending})

    async def cleanup(self) -> None:
        await self._hook.aclose()
