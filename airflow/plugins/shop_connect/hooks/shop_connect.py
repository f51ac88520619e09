from __future__ import annotations

import asyncio
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import httpx
from airflow.sdk import BaseHook

from shop_connect.exceptions import BusyError, RefusedError, ShopConnectError
from shop_connect.runs import Run

if TYPE_CHECKING:
    from airflow.sdk import Connection

_TIMEOUT = httpx.Timeout(60.0, connect=10.0)  # starting a run may take the API 30 s
_LATER = frozenset({429, 502, 503, 504})
_WRONG = frozenset({400, 401, 403, 404, 413, 422})


class ShopConnectHook(BaseHook):
    """
    Calls the HTTP API of shop-connect.

    Every call here may be repeated, a run is started under an id of the caller's, and so each is repeated
    while the API is away or busy. Methods that begin with ``a`` are for the triggerer.

    :param shop_connect_conn_id: connection with host, port, scheme (``http`` or ``https``), user and
        password. Without a user the password is a bearer token of an identity provider.
    :param patience: for how many seconds a call is repeated.
    """

    conn_name_attr = "shop_connect_conn_id"
    default_conn_name = "shop_connect_default"
    conn_type = "shop_connect"
    hook_name = "shop-connect"

    def __init__(self, shop_connect_conn_id: str = default_conn_name, *, patience: float = 60.0) -> None:
        super().__init__()
        self.shop_connect_conn_id = shop_connect_conn_id
        self.patience = patience
        self._client: httpx.Client | None = None
        self._aclient: httpx.AsyncClient | None = None

    def start_run(self, *, stream: str, parameters: Mapping[str, Any], run_id: str) -> Run:
        """Start a run, or return the one that was started under this id in the same words."""
        return _started(self._call("POST", "runs", _start(stream, parameters, run_id)))

    async def astart_run(self, *, stream: str, parameters: Mapping[str, Any], run_id: str) -> Run:
        return _started(await self._acall("POST", "runs", _start(stream, parameters, run_id)))

    def get_run(self, run_id: str) -> Run | None:
        """Return a run as it stands, or None where the ledger has none of this id."""
        return _found(self._call("GET", f"runs/{run_id}"))

    async def aget_run(self, run_id: str) -> Run | None:
        return _found(await self._acall("GET", f"runs/{run_id}"))

    def cancel_run(self, run_id: str) -> None:
        """Ask for the end of a run. One that has ended, or is not there, needs nothing."""
        _cancelled(self._call("POST", f"runs/{run_id}/cancel"))

    async def acancel_run(self, run_id: str) -> None:
        _cancelled(await self._acall("POST", f"runs/{run_id}/cancel"))

    def pending(self) -> dict[str, int]:
        """Return how much waits before Kafka, RAW and STAGE."""
        return _answer(self._call("GET", "pending"))

    async def apending(self) -> dict[str, int]:
        return _answer(await self._acall("GET", "pending"))

    def test_connection(self) -> tuple[bool, str]:
        """Be the button "Test" of the connection's form."""
        self.patience = 0
        try:
            _answer(self._call("GET", "runs?limit=1"))
        except ShopConnectError as error:
            return False, str(error)
        finally:
            self.close()
        return True, "shop-connect answers, and shows its runs to this user"

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        if self._aclient is not None:
            await self._aclient.aclose()
            self._aclient = None

    def get_conn(self) -> httpx.Client:
        if self._client is None:
            conn = self.get_connection(self.shop_connect_conn_id)
            self._client = httpx.Client(base_url=_base_url(conn), auth=_Bearer(conn), timeout=_TIMEOUT)
        return self._client

    async def aget_conn(self) -> httpx.AsyncClient:
        if self._aclient is None:
            conn = await self.aget_connection(self.shop_connect_conn_id)
            self._aclient = httpx.AsyncClient(base_url=_base_url(conn), auth=_Bearer(conn), timeout=_TIMEOUT)
        return self._aclient

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        client, attempts = self.get_conn(), _Attempts(self.patience)
        while True:
            try:
                response = client.request(method, path, json=body)
            except _LoginError as error:
                response = error.response
            except httpx.TransportError as error:
                time.sleep(attempts.pause_after(error, client.base_url))
                continue
            if response.status_code not in _LATER or (pause := attempts.pause_for(response)) is None:
                return response
            time.sleep(pause)

    async def _acall(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        client, attempts = await self.aget_conn(), _Attempts(self.patience)
        while True:
            try:
                response = await client.request(method, path, json=body)
            except _LoginError as error:
                response = error.response
            except httpx.TransportError as error:
                await asyncio.sleep(attempts.pause_after(error, client.base_url))
                continue
            if response.status_code not in _LATER or (pause := attempts.pause_for(response)) is None:
                return response
            await asyncio.sleep(pause)


class _Attempts:
    """How long to wait between attempts of one call, and when to give up."""

    def __init__(self, patience: float) -> None:
        self._until = time.monotonic() + patience
        self._pauses = _doubling(0.25, at_most=8.0)

    def pause_for(self, response: httpx.Response) -> float | None:
        asked_for = response.headers.get("Retry-After", "")
        pause = max(next(self._pauses), float(asked_for) if asked_for.isdigit() else 0.0)
        return pause if time.monotonic() + pause <= self._until else None

    def pause_after(self, error: httpx.TransportError, url: httpx.URL) -> float:
        pause = next(self._pauses)
        if time.monotonic() + pause > self._until:
            raise ShopConnectError(f"calling shop-connect at {url}: {error or type(error).__name__}; is it running, and the connection right?") from error
        return pause


def _doubling(pause: float, *, at_most: float) -> Iterator[float]:
    while True:
        yield pause
        pause = min(2 * pause, at_most)


class _LoginError(Exception):
    def __init__(self, response: httpx.Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class _Bearer(httpx.Auth):
    """Gets a token when there is none, and another when it has expired."""

    requires_response_body = True

    def __init__(self, conn: Connection) -> None:
        self._url = httpx.URL(_base_url(conn)).join("token")
        self._login = {"username": conn.login, "password": conn.password or ""} if conn.login else None
        self._token = None if conn.login else conn.password

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        fresh = self._token is None
        if fresh:
            yield from self._log_in()
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = yield request
        if response.status_code == 401 and self._login and not fresh:
            yield from self._log_in()
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _log_in(self) -> Generator[httpx.Request, httpx.Response, None]:
        response = yield httpx.Request("POST", self._url, json=self._login)
        if response.status_code != 200:
            raise _LoginError(response)
        self._token = response.json()["access_token"]


def _base_url(conn: Connection) -> str:
    if not conn.host:
        raise RefusedError(f"connection {conn.conn_id!r} has no host; it is that of the API, such as 127.0.0.1")
    host = conn.host if "://" in conn.host else f"{conn.schema or 'http'}://{conn.host}"
    return f"{host.rstrip('/')}{f':{conn.port}' if conn.port else ''}/api/v1/"


def _start(stream: str, parameters: Mapping[str, Any], run_id: str) -> dict[str, Any]:
    return {"name": stream, "params": dict(parameters), "run_id": run_id}


def _started(response: httpx.Response) -> Run:
    if response.status_code == 409:
        raise BusyError(_problem(response))
    return Run.of(_answer(response))


def _found(response: httpx.Response) -> Run | None:
    # another 404 is no ledger at all
    if response.status_code == 404 and "no such run" in _problem(response):
        return None
    return Run.of(_answer(response))


def _cancelled(response: httpx.Response) -> None:
    if response.status_code not in (404, 409):
        _answer(response)


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json()
    wrong = response.status_code in _WRONG
    raise (RefusedError if wrong else ShopConnectError)(_problem(response))


def _problem(response: httpx.Response) -> str:
    """Turn an answer of RFC 9457 into one line."""
    try:
        problem = response.json()
        told = str(problem.get("detail") or problem.get("title") or "")
        faults = "; ".join(f"{f.get('location', '')}: {f.get('message', '')}" for f in problem.get("errors") or [])
    except (ValueError, AttributeError):
        told, faults = response.text[:500].strip(), ""
    said = ": ".join(part for part in (told, faults) if part) or "nothing"
    path = response.request.url.path
    return f"shop-connect answers {response.status_code} to {response.request.method} {path}: {said}"
