"""The hook, against a server that answers what the test says."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from shop_connect.exceptions import BusyError, RefusedError, ShopConnectError
from shop_connect.hooks.shop_connect import ShopConnectHook

RUN = {"id": "1", "name": "compact", "status": "running", "rows_in": 3, "a_field_of_a_newer_version": 1}
PENDING = {"outbox_events": 0, "kafka_records": 1, "raw_objects": 0}


class API:
    """Answers in turn what it has been told to, by path; the last answer again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {"/api/v1/token": [(200, {"access_token": "good"})]}
        self.asked: list[tuple[str, str, Any, str | None]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                path = self.path.partition("?")[0]
                api.asked.append((self.command, path, body, self.headers.get("Authorization")))
                answers = api.answers[path]
                status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def paths(self) -> list[str]:
        return [path.removeprefix("/api/v1/") for _, path, _, _ in self.asked]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[API]:
    api = API()
    connection = {"conn_type": "shop_connect", "host": "127.0.0.1", "port": api.server.server_port, "login": "ann", "password": "secret"}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_CONNECT_TEST", json.dumps(connection))
    yield api
    api.server.shutdown()
    api.server.server_close()


@pytest.fixture
def hook() -> Iterator[ShopConnectHook]:
    hook = ShopConnectHook("shop_connect_test", patience=5)
    yield hook
    hook.close()


def test_one_token_serves_many_calls(api: API, hook: ShopConnectHook) -> None:
    api.answers["/api/v1/pending"] = [(200, PENDING)]
    assert hook.pending() == hook.pending() == PENDING
    assert api.paths() == ["token", "pending", "pending"]
    assert api.asked[0][2] == {"username": "ann", "password": "secret"} and api.asked[1][3] == "Bearer good"


def test_a_token_that_has_expired_is_replaced(api: API, hook: ShopConnectHook) -> None:
    api.answers["/api/v1/pending"] = [(200, PENDING), (401, {"detail": "expired"}), (200, PENDING)]
    hook.pending()
    assert hook.pending() == PENDING
    assert api.paths() == ["token", "pending", "pending", "token", "pending"]


def test_a_password_that_is_wrong_is_refused_at_once(api: API, hook: ShopConnectHook) -> None:
    api.answers["/api/v1/token"] = [(401, {"detail": "user or password is wrong"})]
    with pytest.raises(RefusedError, match="401 to POST /api/v1/token: user or password is wrong"):
        hook.pending()
    assert api.paths() == ["token"]
    assert hook.test_connection()[0] is False


def test_calls_are_repeated_while_the_api_is_busy(api: API, hook: ShopConnectHook) -> None:
    api.answers["/api/v1/runs"] = [(503, {}), (429, {}), (202, RUN)]
    assert hook.start_run(stream="compact", parameters={"layer": "raw"}, run_id="1").rows_in == 3
    bodies = [body for _, path, body, _ in api.asked if path == "/api/v1/runs"]
    assert bodies == [{"name": "compact", "params": {"layer": "raw"}, "run_id": "1"}] * 3


def test_patience_ends(api: API, hook: ShopConnectHook) -> None:
    hook.patience = 0.3
    api.answers["/api/v1/pending"] = [(503, {"detail": "Kafka is away"})]
    with pytest.raises(ShopConnectError, match="503 .*Kafka is away"):
        hook.pending()
    api.server.server_close()
    api.server.shutdown()
    hook.close()
    with pytest.raises(ShopConnectError, match="is it running"):
        hook.pending()


def test_what_is_wrong_is_told_by_field(api: API, hook: ShopConnectHook) -> None:
    api.answers["/api/v1/runs"] = [
        (422, {"detail": "parameters are not valid", "errors": [{"location": "body.params.full", "message": "is not one of true, false"}]}),
        (409, {"detail": "a run of this name is at work"}),
    ]
    with pytest.raises(RefusedError, match="body.params.full: is not one of true, false"):
        hook.start_run(stream="compact", parameters={}, run_id="1")
    with pytest.raises(BusyError, match="at work"):
        hook.start_run(stream="compact", parameters={}, run_id="1")


def test_no_such_run_is_none_and_no_ledger_is_a_fault(api: API, hook: ShopConnectHook) -> None:
    api.answers["/api/v1/runs/1"] = [(404, {"detail": "there is no such run"}), (404, {"detail": "there is nothing at this path"})]
    assert hook.get_run("1") is None
    with pytest.raises(RefusedError, match="nothing at this path"):
        hook.get_run("1")


@pytest.mark.parametrize("status", [202, 404, 409])
def test_cancelling_what_has_ended_is_no_fault(api: API, hook: ShopConnectHook, status: int) -> None:
    api.answers["/api/v1/runs/1/cancel"] = [(status, {})]
    hook.cancel_run("1")


def test_the_triggerer_does_the_same(api: API) -> None:
    api.answers["/api/v1/runs"] = [(503, {}), (202, RUN)]
    api.answers["/api/v1/runs/1"] = [(200, RUN)]
    api.answers["/api/v1/runs/1/cancel"] = [(202, RUN)]
    api.answers["/api/v1/pending"] = [(200, PENDING)]

    async def calls() -> None:
        hook = ShopConnectHook("shop_connect_test", patience=5)
        try:
            assert (await hook.astart_run(stream="compact", parameters={}, run_id="1")).status == "running"
            assert (await hook.aget_run("1")).rows_in == 3
            await hook.acancel_run("1")
            assert await hook.apending() == PENDING
        finally:
            await hook.aclose()

    asyncio.run(calls())
    assert api.paths() == ["token", "runs", "runs", "runs/1", "runs/1/cancel", "pending"]


def test_without_a_user_the_password_is_the_token(api: API, monkeypatch: pytest.MonkeyPatch, hook: ShopConnectHook) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_CONNECT_TEST", json.dumps({"conn_type": "shop_connect", "host": f"http://127.0.0.1:{api.server.server_port}", "password": "issued"}))
    api.answers["/api/v1/pending"] = [(200, PENDING)]
    hook.pending()
    assert api.asked == [("GET", "/api/v1/pending", None, "Bearer issued")]
