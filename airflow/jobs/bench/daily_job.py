"""Measures the daily job: a large day, and the same day of a shop with ten times the history.

    make bench/spark                        # 20,000,000 rows in the large day
    make bench/spark SPARK_ROWS=2000000
    … bench/daily_job.py 2000000 history    # one of the two alone: day, history

Starts a stack of its own, puts the days into STAGE, ClickHouse and Iceberg, and runs the job as users do, with
spark-submit; its own lines tell how long each of its stages took.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "tests"), str(pathlib.Path(__file__).resolve().parents[1])]

from conftest import JOBS, Shop
from pyspark.sql import functions as F
from shop_jobs import session
from shop_jobs.analytics import Analytics
from shop_jobs.databases import ClickHouse
from shop_jobs.settings import Settings

FACTS = "shop.analytics.purchase_product_facts"
TODAY = datetime.now(UTC).date()
HISTORY = 10


def main(rows, only=("day", "history")):
    with tempfile.TemporaryDirectory(prefix="shop-bench-spark-") as data:
        shop = Shop(data)
        try:
            settings = Settings.from_environment(shop.env)
            if "day" in only:
                a_day(shop, settings, rows)
            if "history" in only:
                with_history(shop, settings, rows // 10)
        finally:
            shop.stop()


def a_day(shop, settings, rows):
    day = TODAY - timedelta(days=3)
    with preparing(shop, settings) as fill:
        fill(day, rows, 2_000_000_000)
    job("a day", shop, day)


def with_history(shop, settings, rows):
    day = TODAY - timedelta(days=5)
    with preparing(shop, settings) as fill:
        fill(day, rows, 1_000_000_000)
    before = job("a small day", shop, day)
    with preparing(shop, settings) as fill:
        for n in range(1, HISTORY + 1):
            fill(day - timedelta(days=n), rows, 1_000_000_000 - n * rows)
    after = job(f"the same day, with {HISTORY} days as large before it", shop, day)
    print(f"with ten times the history the same day took {after / before:.2f} of the time")


def job(title, shop, day):
    began = time.monotonic()
    submit = [*os.environ.get("BENCH_PREFIX", "").split(), JOBS / "submit", "--master", "local[2]", "--driver-memory", "3g",
              "--conf", "spark.ui.enabled=false", JOBS / "daily_job.py", "--date", str(day)]
    done = subprocess.run(submit, env=os.environ | shop.env | {"SPARK_LOCAL_IP": "127.0.0.1"}, capture_output=True, text=True)
    took = time.monotonic() - began
    told = [line for line in done.stdout.splitlines() if "purchases," in line or "seconds:" in line or "agree" in line or "DIFFERS" in line or "facts:" in line]
    print(f"{title}: {took:.1f} s, exit code {done.returncode}", *told, sep="\n  ", flush=True)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return took


class preparing:
    """A session that fills days, ended before the job is measured."""

    def __init__(self, shop, settings):
        self.shop, self.settings = shop, settings

    def __enter__(self):
        jars = ",".join(str(jar) for jar in sorted((pathlib.Path(os.environ["SHOP_CONNECT_CACHE"]) / "spark" / "jars").glob("*.jar")))
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        os.environ["PYSPARK_SUBMIT_ARGS"] = (
            f"--master local[2] --driver-memory 3g --jars {jars} --conf spark.ui.enabled=false "
            f"--driver-java-options -Dlog4j2.configurationFile=file:{JOBS / 'log4j2.properties'} pyspark-shell")
        self.spark = session.build(self.settings, "bench")
        if not self.spark.catalog.tableExists(FACTS):
            self.shop.send({"id": "first", "product_id": "p1", "customer_id": 1, "seller_id": 1, "quantity": 1, "price_at_time": "1",
                            "purchased_at": f"{TODAY - timedelta(days=60)}T00:00:00Z"})
            self.shop.eventually("the facts are there", lambda: self.spark.catalog.tableExists(FACTS))
            self.shop.stage()
        return self.fill

    def __exit__(self, *_):
        self.spark.stop()

    def fill(self, day, rows, first):
        """A day of purchases with all their columns, bytes included, as its objects, ranges, rows and facts."""
        n, s = F.col("id"), self.settings
        h = F.xxhash64("id")
        folder = f"shop-stage-data/purchases/purchase_date={day}"
        purchases = self.spark.range(0, rows, 1, max(2, rows // 1_000_000)).select(
            F.concat_ws("-", F.lit(str(day)), F.lpad(F.hex(h), 16, "0"), n.cast("string")).alias("id"),
            F.concat(F.lit("P"), F.pmod(h, F.lit(2000)).cast("string")).alias("product_id"),
            (F.pmod(h, F.lit(200_000)) + 1).alias("customer_id"), (F.pmod(h, F.lit(19)) + 1).alias("seller_id"),
            (F.pmod(h, F.lit(7)) + 1).alias("quantity"), ((F.pmod(h, F.lit(99_999)) + 1).cast("decimal(10,0)") / 10_000).cast("decimal(18,4)").alias("price_at_time"),
            F.timestamp_micros(F.unix_micros(F.lit(f"{day} 00:00:00").cast("timestamp")) + n).alias("purchased_at"), F.lit(False).alias("deleted"),
            F.lit("purchases").alias("_topic"), F.lit(0).alias("_partition"), (n + first).alias("_offset"),
            F.timestamp_micros(F.unix_micros(F.lit(f"{day} 00:00:01").cast("timestamp")) + n).alias("_timestamp"),
            F.sha2(n.cast("string"), 512).cast("binary").alias("_value"))
        purchases.write.option("compression", "zstd").parquet(f"s3a://{folder}")
        postgres = self.spark._jvm.java.util.Properties()
        postgres.setProperty("user", s.postgres.user)
        postgres.setProperty("password", s.postgres.password)
        connection = self.spark._jvm.org.postgresql.Driver().connect(s.postgres.url, postgres)
        connection.createStatement().executeUpdate(
            f"INSERT INTO stage_ranges VALUES ('purchases', 'purchases', 0, 'purchase_date={day}', {first}, {first + rows - 1})")
        connection.close()
        self.shop.clickhouse(f"""INSERT INTO purchases (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, purchase_date, version, is_deleted)
            SELECT id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, '{day}', 2 * _offset, 0
            FROM s3('{s.s3_endpoint}/{folder}/*.parquet', '{s.s3_access_key}', '{s.s3_secret_key}', 'Parquet') SETTINGS max_execution_time = 0""")
        Analytics(ClickHouse(self.spark, s.clickhouse)).recompute([day])
        self.spark.read.parquet(f"s3a://{folder}").createOrReplaceTempView("day")
        self.spark.sql(f"""INSERT INTO {FACTS} (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, product_known, purchase_date)
            SELECT id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, false, DATE '{day}' FROM day""")
        self.shop.eventually("the live statistics have the day", lambda: self.shop.clickhouse(
            f"SELECT total_purchases FROM daily_purchase_stats WHERE purchase_date = '{day}'") == [[str(rows)]], within=600)
        print(f"{day}: {rows:,} purchases are in STAGE, ClickHouse and Iceberg", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:] or ("day", "history"))
