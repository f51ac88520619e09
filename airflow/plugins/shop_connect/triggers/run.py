from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from shop_connect.exceptions import BusyError, RefusedError, ShopConnectError
from shop_connect.hooks.shop_connect import ShopConnectHook
from shop_connect.runs import Run

FIRST_INTERVAL = 0.25


class ShopConnectRunTrigger(BaseTrigger):
    """
    Waits for the end of a run, and tells the log how it gets on.

    All that it knows is in its arguments and in the ledger: another triggerer goes on where one was killed.

    :param run_id: id of the run.
    :param started: whether the try that waits has started the run, rather than found it; told back in the event.
    :param start_until: until when (as of ``time.time()``) a run that could not be started, because another of its name was
        at work, is asked for again; None where it has been started.
    :param deadline: when the run is cancelled, as of ``time.time()``.
    :param poll_interval: seconds between looks at a long run; at a short one it looks more often.
    """

    def __init__(
        self,
        *,
        shop_connect_conn_id: str,
        run_id: str,
        stream: str,
        parameters: Mapping[str, Any],
        started: bool,
        start_until: float | None = None,
        deadline: float | None = None,
        poll_interval: float = 5.0,
    ) -> None:
        super().__init__()
        self.shop_connect_conn_id = shop_connect_conn_id
        self.run_id = run_id
        self.stream = stream
        self.parameters = parameters
        self.started = started
        self.start_until = start_until
        self.deadline = deadline
        self.poll_interval = poll_interval
        self._hook = ShopConnectHook(shop_connect_conn_id)
        self._run: Run | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "shop_connect_conn_id": self.shop_connect_conn_id,
                "run_id": self.run_id,
                "stream": self.stream,
                "parameters": dict(self.parameters),
                "started": self.started,
                "start_until": self.start_until,
                "deadline": self.deadline,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent(await self.outcome())

    async def outcome(self) -> dict[str, Any]:
        """Return what the operator resumes with; it is never an exception, of which only a traceback would arrive."""
        event: dict[str, Any] = {"run_id": self.run_id, "started": self.started}
        try:
            if self.start_until is not None:
                await self._start(self.start_until)
            return event | {"end": await self._follow()}
        except ShopConnectError as error:
            return event | {
                "end": "refused" if isinstance(error, RefusedError) else "error",
                "message": f"{error} (so far: {self._run.describe()})" if self._run else str(error),
            }

    async def _start(self, until: float) -> None:
        interval = FIRST_INTERVAL
        while True:
            try:
                await self._hook.astart_run(stream=self.stream, parameters=self.parameters, run_id=self.run_id)
            except BusyError as error:
                if time.time() + interval > until:
                    raise ShopConnectError(f"{error}; it was still so when this run's time to wait was over") from error
            else:
                self.log.info("run %s of %s has begun", self.run_id, self.stream)
                return
            await asyncio.sleep(interval)
            interval = min(2 * interval, self.poll_interval)

    async def _follow(self) -> str:
        interval, told = FIRST_INTERVAL, ""
        while True:
            self._run = run = await self._hook.aget_run(self.run_id)
            if run is None:
                raise ShopConnectError(f"run {self.run_id} of {self.stream} is no longer in the ledger")
            if run.ended:
                return "ended"
            if (now := f"{run.status}: {run.describe()}") != told:
                told = now
                self.log.info("%s", told)
            if self.deadline is not None and time.time() > self.deadline:
                await self._hook.acancel_run(self.run_id)
                return "late"
            await asyncio.sleep(interval)
            interval = min(1.5 * interval, self.poll_interval)

    async def on_kill(self) -> None:
        """Somebody has cleared the task, or said what it ended as: nobody waits for the run any more."""
        await self._hook.acancel_run(self.run_id)
        self.log.info("run %s of %s is cancelled", self.run_id, self.stream)

    async def cleanup(self) -> None:
        await self._hook.aclose()
