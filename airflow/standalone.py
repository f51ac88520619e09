"""Runs Airflow on this machine beside `shop-connect up`: loopback only, its metadata in a database of its own.

It is `airflow standalone` without what that opens to the network: the servers of its logs listen on every
address, and here they need not run, since all components share a disk.

    python airflow/standalone.py --data-dir .shop --port 8090
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

HERE = Path(__file__).resolve().parent
LOOPBACK = "127.0.0.1"
DATABASE = "airflow"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
STOP_PATIENCE = 30.0


def read_env(data_dir: Path) -> dict[str, str]:
    """Return where the servers of a running `shop-connect up` are."""
    try:
        lines = (data_dir / "env").read_text().splitlines()
    except FileNotFoundError:
        sys.exit(f"{data_dir}/env is not there: start `make up` first, or name its --data-dir")
    return dict(line.split("=", 1) for line in lines if "=" in line)


def settings(*, shop: Mapping[str, str], home: Path, port: int) -> dict[str, str]:
    """Return the environment of every component."""
    home.mkdir(parents=True, exist_ok=True)
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({"admin": "admin"}))
    passwords.chmod(0o600)
    database = urlsplit(shop["POSTGRES_DSN"])._replace(scheme="postgresql+psycopg2", path=f"/{DATABASE}", query="")
    host, _, api_port = shop["API_ADDRESS"].rpartition(":")
    # where airflow/jobs/install puts them
    spark = Path(os.environ.get("SHOP_CONNECT_CACHE") or HERE.parent / ".cache").resolve() / "spark"
    path = [str(Path(sys.executable).parent), str(spark / "python" / "bin"), os.environ.get("PATH", "")]
    wanted = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW_CONN_SHOP_CONNECT_DEFAULT": json.dumps(
            {"conn_type": "shop_connect", "host": host, "port": int(api_port), "login": "admin", "password": "admin"}
        ),
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps({"conn_type": "spark", "host": "local[*]"}),
        "AIRFLOW__API__BASE_URL": f"http://{LOOPBACK}:{port}",
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{LOOPBACK}:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(HERE / "plugins"),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": urlunsplit(database),
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "false",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "false",
        "PATH": os.pathsep.join(path),
        # Airflow looks for providers before it knows of its plugins
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE / "plugins"), os.environ.get("PYTHONPATH")))),
        "PYSPARK_PYTHON": str(spark / "python" / "bin" / "python"),
        "SPARK_JARS_DIR": str(spark / "jars"),
    }
    return {**os.environ, **shop, **wanted}


def migrate(env: Mapping[str, str]) -> None:
    """Make the metadata database, or bring it up to date."""
    import psycopg2

    shop = urlsplit(env["POSTGRES_DSN"])
    with contextlib.closing(psycopg2.connect(urlunsplit(shop._replace(scheme="postgresql")))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f'CREATE DATABASE "{quote(DATABASE)}"')
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        sys.exit(f"making Airflow's database: exit code {done.returncode}\n{done.stdout}")


class Component:
    """One process of Airflow, with its log in a file."""

    def __init__(self, name: str, env: Mapping[str, str]) -> None:
        self.name = name
        self.env = env
        self.log = Path(env["AIRFLOW_HOME"]) / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {"scheduler": ["--skip-serve-logs"], "triggerer": ["--skip-serve-logs"]}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "airflow", self.name, *options.get(self.name, [])],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # a group of its own: Ctrl-C is for this program, which then ends them in order
                start_new_session=True,
            )

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        if self.running():
            self.process.terminate()

    def join(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it and its children at once, as a crash would."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Airflow:
    """All components of Airflow on this machine."""

    def __init__(self, *, shop: Mapping[str, str], home: Path, port: int, extra: Mapping[str, str] | None = None) -> None:
        self.env = {**settings(shop=shop, home=home, port=port), **(extra or {})}
        self.url = f"http://{LOOPBACK}:{port}"
        self.components = {name: Component(name, self.env) for name in COMPONENTS}

    def start(self, patience: float = 180.0) -> None:
        """Return once all components report that they are healthy."""
        migrate(self.env)
        for component in self.components.values():
            component.start()
        until = time.monotonic() + patience
        while not self._healthy():
            for component in self.components.values():
                if not component.running():
                    sys.exit(f"Airflow's {component.name} has ended: see {component.log}")
            if time.monotonic() > until:
                sys.exit(f"Airflow is not ready after {patience:.0f} s: see {self.env['AIRFLOW_HOME']}/*.log")
            time.sleep(0.25)

    def stop(self) -> None:
        for component in self.components.values():
            component.stop()
        for component in self.components.values():
            component.join()

    @contextlib.contextmanager
    def running(self) -> Iterator[Airflow]:
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
                health = json.load(answer)
        except (OSError, ValueError):
            return False
        return all(health.get(part, {}).get("status") == "healthy" for part in ("metadatabase", "scheduler", "triggerer", "dag_processor"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path(".shop"), help="that of the running `shop-connect up`")
    parser.add_argument("--port", type=int, default=8090, help="port of Airflow on loopback")
    options = parser.parse_args()
    data_dir = options.data_dir.resolve()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: (ended.set(), sys.exit(0)))
    airflow = Airflow(shop=read_env(data_dir), home=data_dir / "airflow", port=options.port)
    print(f"starting Airflow, with its logs in {data_dir / 'airflow'}", flush=True)
    with airflow.running():
        print(f"Airflow is up at {airflow.url}: admin / admin, on this machine only. Ctrl-C stops it; the data stay.", flush=True)
        while all(component.running() for component in airflow.components.values()):
            ended.wait(1)
        gone = [component for component in airflow.components.values() if not component.running()]
        sys.exit("; ".join(f"Airflow's {component.name} has ended: see {component.log}" for component in gone))


if __name__ == "__main__":
    main()
