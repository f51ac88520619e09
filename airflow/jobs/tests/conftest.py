"""One stack of shop-connect and one Spark session for all tests: real servers, started by the program itself."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
JOBS = HERE.parent
ROOT = JOBS.parents[1]
BINARY = pathlib.Path(os.environ.get("SHOP_CONNECT_BINARY", ROOT / "bin" / "shop-connect"))
sys.path.insert(0, str(JOBS))

ANY_PORTS = [f"--port-{server}=0" for server in ("api", "streams", "kafka", "s3", "postgres", "clickhouse")]
UP_WITHIN = 120


class Shop:
    """`shop-connect up` as a process, and its clients."""

    def __init__(self, data):
        self.data = pathlib.Path(data)
        self.output = open(self.data / "up.log", "w+")
        self.process = subprocess.Popen(
            [BINARY, "up", "--data-dir", self.data / "shop", *ANY_PORTS], cwd=ROOT, stdout=self.output, stderr=subprocess.STDOUT,
            start_new_session=True)
        self._await("shop-connect is up")
        self.env = dict(line.split("=", 1) for line in (self.data / "shop" / "env").read_text().splitlines() if "=" in line)
        self.env = {name: value.strip("'\"") for name, value in self.env.items()}
        self.api = f"http://{self.env['API_ADDRESS']}/api/v1"
        token = json.load(self._open("/token", {"username": "admin", "password": "admin"}))
        self.token = token["access_token"]

    def _await(self, words):
        deadline = time.monotonic() + UP_WITHIN
        while words not in pathlib.Path(self.output.name).read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, pathlib.Path(self.output.name).read_text()
            time.sleep(0.1)

    def _open(self, path, body=None, method=None):
        headers = {"Content-Type": "application/json"}
        if hasattr(self, "token"):
            headers["Authorization"] = "Bearer " + self.token
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(urllib.request.Request(self.api + path, data, headers, method=method), timeout=60)

    def post(self, path, body):
        return json.load(self._open(path, body))

    def send(self, *purchases):
        """Sends purchases in bulk; a deletion is {"id": …, "deleted": True}."""
        for start in range(0, len(purchases), 5000):
            answer = self.post("/purchases/bulk-kafka", {"purchases": purchases[start:start + 5000]})
            assert answer["error_count"] == 0, answer

    def run(self, *args):
        done = subprocess.run([BINARY, *args], cwd=ROOT, env=os.environ | self.env, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stage(self):
        """Brings what is in Kafka to STAGE."""
        self.run("run-batch", "process_kafka_data")
        self.run("run-batch", "copy_raw_to_stage", "--param", "entity=all", "--param", "full=true")

    def clickhouse(self, query):
        """Rows as lists of text."""
        from urllib.parse import urlsplit
        dsn = urlsplit(self.env["CLICKHOUSE_DSN"])
        request = urllib.request.Request(
            f"http://{dsn.hostname}:{dsn.port}/?database={dsn.path.strip('/')}", query.encode(),
            {"X-ClickHouse-User": dsn.username, "X-ClickHouse-Key": dsn.password})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [line.split("\t") for line in answer.read().decode().splitlines()]

    def eventually(self, what, condition, within=120):
        """Waits for what another process brings about."""
        deadline = time.monotonic() + within
        while not (seen := condition()):
            assert time.monotonic() < deadline, f"{what}: not within {within} s"
            time.sleep(0.2)
        return seen

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.output.close()


@pytest.fixture(scope="session")
def shop():
    with tempfile.TemporaryDirectory(prefix="shop-spark-") as data:
        started = Shop(data)
        try:
            yield started
        finally:
            started.stop()


@pytest.fixture(scope="session")
def settings(shop):
    from shop_jobs.settings import Settings
    return Settings.from_environment(shop.env)


@pytest.fixture(scope="session")
def spark(settings):
    """A session as the jobs have it. Tests compile little: most of their plans run once."""
    from shop_jobs import session
    jars = pathlib.Path(os.environ["SHOP_CONNECT_CACHE"]) / "spark" / "jars"
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_SUBMIT_ARGS"] = " ".join([
        "--master local[2]", "--driver-memory 2g", "--jars", ",".join(str(jar) for jar in sorted(jars.glob("*.jar"))),
        f"--driver-java-options '-XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=file:{JOBS / 'log4j2.properties'}'",
        "--conf spark.ui.enabled=false", "--conf spark.sql.shuffle.partitions=4", "--conf spark.driver.bindAddress=127.0.0.1",
        "pyspark-shell"])
    session = session.build(settings, "tests")
    yield session
    session.stop()


@pytest.fixture
def daily_job(spark, settings):
    """Runs the job's body in the session of the tests."""
    from shop_jobs import daily

    def run(*days, **options):
        clock = daily.Clock()
        report = daily.run(spark, settings, list(days), clock, **options)
        print(report.text(clock))
        return report
    return run
