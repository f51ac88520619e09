from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from shop_connect.exceptions import BusyError, RefusedError, ShopConnectError
from shop_connect.hooks.shop_connect import ShopConnectHook
from shop_connect.runs import Run, run_id_of
from shop_connect.triggers.run import ShopConnectRunTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

# Where a task notes, across its tries, which attempt it waits for.
STATE_KEY = "shop_connect_attempt"
# How long a run that is asked to end may take to do so.
_END_PATIENCE = timedelta(minutes=2)


class ShopConnectRunOperator(BaseOperator):
    """
    Runs a batch stream of shop-connect, waits for its end without a worker, and returns its counts.

    The ledger of runs decides how a run ends. Its id follows from the DAG run, the task and the number
    of the attempt. So a try of the task that finds the attempt before it still at work, or at its end
    without anybody having heard of it, goes on with that; after one that failed or was cancelled, and for a
    task that is cleared after it ended, a new attempt begins.

    A run that failed fails the task with the run's own error and counts, to be retried. A request that is
    refused as wrong, and a run that somebody cancelled, fail it for good.

    :param stream: name of a file in ``streams/``, such as ``copy_raw_to_stage``. (templated)
    :param parameters: its parameters; those that are None or empty are left out. (templated)
    :param shop_connect_conn_id: connection to the API. (templated)
    :param busy_timeout: how long to wait where another run of this name is at work and the stream refuses
        a second one. By default the task then fails at once.
    :param run_timeout: after what time the run is cancelled and the task fails; ``execution_timeout`` where it
        is not given, which by itself bounds only the time in a worker.
    :param poll_interval: seconds between looks at a long run.
    :param deferrable: wait in the triggerer rather than in a worker.
    """

    template_fields: Sequence[str] = ("stream", "parameters", "shop_connect_conn_id")
    template_fields_renderers = {"parameters": "json"}
    ui_color = "#d6e8f5"

    def __init__(
        self,
        *,
        stream: str,
        parameters: Mapping[str, Any] | None = None,
        shop_connect_conn_id: str = ShopConnectHook.default_conn_name,
        busy_timeout: timedelta = timedelta(0),
        run_timeout: timedelta | None = None,
        poll_interval: float = 5.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stream = stream
        self.parameters = parameters
        self.shop_connect_conn_id = shop_connect_conn_id
        self.busy_timeout = busy_timeout
        self.run_timeout = run_timeout
        self.poll_interval = poll_interval
        self.deferrable = deferrable
        self._run_id: str | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        hook = ShopConnectHook(self.shop_connect_conn_id)
        try:
            return self._attempt(context, hook)
        except RefusedError as error:
            self._fail(str(error), for_good=True)
        finally:
            hook.close()

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on when the trigger has fired."""
        hook = ShopConnectHook(self.shop_connect_conn_id)
        try:
            if event["end"] in ("error", "refused"):
                self._fail(event["message"], for_good=event["end"] == "refused")
            run = self._ended(hook, event["run_id"])
            if run.status == "cancelled" and not event["started"]:
                # it was cancelled because the task was cleared, and this is the try that shall run
                self.log.info("run %s was cancelled before this try found it: there is another", run.id)
                return self._attempt(context, hook)
            return self._result(context, run, late=event["end"] == "late")
        except RefusedError as error:
            self._fail(str(error), for_good=True)
        finally:
            hook.close()

    def on_kill(self) -> None:
        """Cancel the run of a task that is killed in a worker; the trigger does so for one that waits."""
        if self._run_id is not None:
            self.log.info("cancelling run %s of %s", self._run_id, self.stream)
            ShopConnectHook(self.shop_connect_conn_id, patience=10).cancel_run(self._run_id)

    def _attempt(self, context: Context, hook: ShopConnectHook) -> dict[str, Any]:
        run_id, run = self._find(context, hook)
        self._run_id = run_id
        started = run is None
        if started:
            run = self._start(hook, run_id)
        else:
            self.log.info("run %s of %s has been started by an earlier try", run_id, self.stream)
        if run is not None and run.ended:
            return self._result(context, run)
        now, limit = time.time(), self.run_timeout or self.execution_timeout
        trigger = ShopConnectRunTrigger(
            shop_connect_conn_id=self.shop_connect_conn_id,
            run_id=run_id,
            stream=self.stream,
            parameters=self._given(),
            started=started,
            start_until=None if run else now + self.busy_timeout.total_seconds(),
            deadline=now + limit.total_seconds() if limit else None,
            poll_interval=self.poll_interval,
        )
        if self.deferrable:
            self.defer(trigger=trigger, method_name="execute_complete")
        return self.execute_complete(context, asyncio.run(_outcome(trigger)))

    def _find(self, context: Context, hook: ShopConnectHook) -> tuple[str, Run | None]:
        """Return the attempt to go on with, or the id of a new one."""
        ti, state = context["ti"], context.get("task_state_store")
        waited_for = state.get(STATE_KEY) if state is not None else None
        for attempt in itertools.count():
            run_id = run_id_of(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index, attempt)
            run = hook.get_run(run_id)
            if run is None:
                if state is not None:
                    # before the run is started: whatever happens then, the next try knows
                    state.set(STATE_KEY, run_id)
                return run_id, None
            if not run.ended and run.cancel_requested:
                run = self._ended(hook, run_id)
            if not run.ended or (run.status == "succeeded" and run_id == waited_for):
                return run_id, run
        raise AssertionError("there is always another attempt")

    def _start(self, hook: ShopConnectHook, run_id: str) -> Run | None:
        """Start a run; None says that another of its name is at work, and that this one may wait for it."""
        try:
            run = hook.start_run(stream=self.stream, parameters=self._given(), run_id=run_id)
        except BusyError as error:
            if not self.busy_timeout:
                self._fail(str(error))
            self.log.info("%s; waiting for %s at most", error, self.busy_timeout)
            return None
        given = " ".join(f"{name}={value}" for name, value in self._given().items())
        self.log.info("run %s of %s is started%s", run_id, self.stream, f" with {given}" if given else "")
        return run

    def _given(self) -> dict[str, Any]:
        return {name: value for name, value in (self.parameters or {}).items() if value not in (None, "")}

    def _ended(self, hook: ShopConnectHook, run_id: str) -> Run:
        """Return a run that is about to end, or has ended."""
        until = time.monotonic() + _END_PATIENCE.total_seconds()
        while True:
            run = hook.get_run(run_id)
            if run is None:
                raise ShopConnectError(f"run {run_id} of {self.stream} is no longer in the ledger")
            if run.ended:
                return run
            if time.monotonic() > until:
                raise ShopConnectError(f"run {run_id} of {self.stream} was asked to end and has not done so within {_END_PATIENCE}")
            time.sleep(0.25)

    def _result(self, context: Context, run: Run, *, late: bool = False) -> dict[str, Any]:
        what = f"run {run.id} of {run.name}"
        if run.status == "succeeded":
            if (state := context.get("task_state_store")) is not None:
                # who clears the task from now on wants it done anew
                state.delete(STATE_KEY)
            if run.warnings:
                self.log.warning("rows that passed with a warning: %s", ", ".join(f"{n:,} {at}" for at, n in run.warnings.items()))
            self.log.info("%s has succeeded: %s", what, run.describe())
            return run.counts()
        if late:
            self._fail(f"{what} was cancelled as it was not done in time: {run.describe()}")
        if run.status == "cancelled":
            self._fail(
                f"{what} was cancelled{f': {run.error}' if run.error else ''}: {run.describe()}",
                # a run that ends because its server stops was not asked to
                for_good=run.cancel_requested,
            )
        self._fail(f"{what} has failed: {run.error}: {run.describe()}")

    def _fail(self, message: str, *, for_good: bool = False) -> NoReturn:
        raise (AirflowFailException if for_good else ShopConnectError)(message)


async def _outcome(trigger: ShopConnectRunTrigger) -> dict[str, Any]:
    try:
        return await trigger.outcome()
    finally:
        await trigger.cleanup()
