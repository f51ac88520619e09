"""The streaming job in place of the stream purchases_raw."""

import base64
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pyspark.errors import StreamingQueryException
from pyspark.sql import functions as F
from shop_jobs import records
from shop_jobs.stream import RawStream

DAY = datetime.now(UTC).date() - timedelta(days=20)
RAW, STAGED = "s3a://shop-raw-data/purchases", "s3a://shop-stage-data/purchases"


@pytest.fixture
def parse(spark):
    def parse(*values):
        rows = [("purchases", 3, n, datetime(2026, 1, 2, tzinfo=UTC), b"key", value if isinstance(value, bytes) else json.dumps(value).encode())
                for n, value in enumerate(values)]
        frame = spark.createDataFrame(rows, "topic string, partition int, offset bigint, timestamp timestamp, key binary, value binary")
        return records.parsed(frame)
    return parse


def test_values_are_typed_and_never_rounded(parse):
    rows = parse(
        b'{"id":"a","product_id":456,"customer_id":1,"quantity":2,"price_at_time":12345678901234.5678,"purchased_at":"2026-01-02T03:04:05.123456+02:00"}',
        {"price_at_time": "0.10"}, {"id": "c", "deleted": True}).orderBy("_offset").collect()
    assert [row.reasons for row in rows] == [None, None, None]
    assert (rows[0].product_id, rows[0].price_at_time) == ("456", Decimal("12345678901234.5678"))
    assert rows[0].purchased_at.astimezone(UTC) == datetime(2026, 1, 2, 1, 4, 5, 123456, tzinfo=UTC)
    assert (rows[1].id, rows[1].price_at_time) == ("purchases-3-1", Decimal("0.1000"))
    assert rows[2].deleted is True


def test_what_has_no_place_in_raw_is_refused_with_its_reason(parse):
    bad = [b"no json", b"[1]", b"", b"\xff{", {"quantity": "many"}, {"quantity": 1.5}, {"price_at_time": "1.00001"}, {"price_at_time": 1e30},
           {"purchased_at": "yesterday"}]
    rows = parse(*bad)
    reasons = [json.loads(row.reasons)[0]["field"] for row in rows.orderBy("_offset").collect()]
    assert reasons == ["", "", "", "", "", "", "price_at_time", reasons[7], "purchased_at"]
    assert records.taken(rows).count() == 0
    one = records.refused(rows, "raw", 1).where(F.col("value") == b"no json").first()
    assert one.topic == "purchases.rejected" and {h.key for h in one.headers} == {
        "refused_reasons", "refused_by", "refused_entity", "refused_contract_version", "refused_source"}


def purchases(first, count):
    return [{"id": f"streamed-{n}", "product_id": "lamp", "customer_id": n % 9 + 1, "seller_id": 1, "quantity": n % 4 + 1,
             "price_at_time": "1.2345", "purchased_at": f"{DAY}T{n % 24:02d}:00:00Z"} for n in range(first, first + count)]


@pytest.fixture(scope="module")
def alone(shop):
    """The shop without the stream that writes RAW, up to which everything is read."""
    shop.run("run-batch", "process_kafka_data")
    credentials = base64.b64encode(f"{shop.env['STREAMS_USER']}:{shop.env['STREAMS_PASSWORD']}".encode()).decode()
    request = urllib.request.Request(f"http://{shop.env['STREAMS_ADDRESS']}/streams/purchases_raw?timeout=30s", method="DELETE",
                                     headers={"Authorization": "Basic " + credentials})
    urllib.request.urlopen(request, timeout=60).close()
    return shop


def test_raw_is_written_in_the_same_layout_and_each_record_reaches_stage_once(spark, settings, alone, tmp_path):
    with_connect = f"{RAW}/purchase_date={DAY + timedelta(days=8)}"
    connect = spark.read.parquet(with_connect).schema if _exists(spark, with_connect) else None
    alone.send(*purchases(0, 2000))
    spark.createDataFrame([("bad", "no json")], "key string, value string").write.format("kafka").option(
        "kafka.bootstrap.servers", alone.env["KAFKA_BROKERS"]).option("topic", "purchases").save()

    def stream(fail_at=None):
        s = RawStream(spark, settings, alone.env["KAFKA_BROKERS"], f"file://{tmp_path}/checkpoint", 800)
        if fail_at is not None:
            commit, calls = s._commit, []

            def failing(ends):
                calls.append(ends)
                if len(calls) == fail_at:
                    raise RuntimeError("killed before the commit")
                commit(ends)
            s._commit = failing
        s.run({"availableNow": True})

    # the second batch dies when all but its offsets is written, and comes again
    with pytest.raises(StreamingQueryException):
        stream(fail_at=2)
    stream()
    alone.send(*purchases(2000, 500))
    stream()

    rows = spark.read.option("basePath", RAW).parquet(f"{RAW}/purchase_date={DAY}")
    assert (rows.count(), rows.select("_partition", "_offset").distinct().count()) == (2500, 2500)
    names = {row[0].rsplit("/", 1)[1] for row in rows.select(F.input_file_name()).distinct().collect()}
    firsts = {f"purchases-{row._partition}-{row.o}.parquet" for row in rows.groupBy("_partition").agg(F.min("_offset").alias("o")).collect()}
    assert firsts <= names and len(names) > len(firsts)
    if connect is not None:
        assert [(f.name, f.dataType) for f in spark.read.parquet(f"{RAW}/purchase_date={DAY}").schema] == [(f.name, f.dataType) for f in connect]

    # no listing is asked for: the ledger knows the objects
    alone.run("run-batch", "copy_raw_to_stage")
    staged = spark.read.parquet(f"{STAGED}/purchase_date={DAY}")
    assert (staged.count(), staged.select("id").distinct().count()) == (2500, 2500)
    assert staged.agg(F.sum(F.col("price_at_time") * F.col("quantity"))).first()[0] == Decimal("1.2345") * sum(n % 4 + 1 for n in range(2500))
    assert "purchases: all read" in alone.run("run-batch", "process_kafka_data")
    assert alone.clickhouse(f"SELECT sum(events), sum(revenue) FROM stream_purchases_hourly WHERE toDate(hour) = '{DAY}'") == [
        ["2500", str((Decimal("1.2345") * sum(n % 4 + 1 for n in range(2500))).normalize())]]
    alone.eventually("the refused record is in quarantine", lambda: "raw" in alone.run("quarantine", "ls", "--entity", "purchases"))


def _exists(spark, path):
    location = spark._jvm.org.apache.hadoop.fs.Path(path)
    return location.getFileSystem(spark._jsc.hadoopConfiguration()).exists(location)
