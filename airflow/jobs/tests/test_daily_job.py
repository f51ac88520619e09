"""The daily job on data that the running program wrote, and the program on what the job wrote."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pyspark.sql import functions as F
from shop_jobs import command, stage

TODAY = datetime.now(UTC).date()
FIRST, SECOND, THIRD, EMPTY = (TODAY - timedelta(days=n) for n in (12, 11, 10, 9))
FACTS = "shop.analytics.purchase_product_facts"
PRODUCTS = {"lamp": ("Lamp", "light"), "desk": ("Desk", "wood"), "chair": ("Chair", "wood")}


class Truth:
    """What the shop must have, worked out from what was sent to it."""

    def __init__(self, shop):
        self.shop, self.rows = shop, {}

    def send(self, *events):
        for event in events:
            if event.get("deleted"):
                self.rows.pop(event["id"], None)
            else:
                self.rows[event["id"]] = event
        self.shop.send(*events)

    def day(self, day):
        rows = [r for r in self.rows.values() if r["purchased_at"].startswith(str(day))]
        return len(rows), sum(r["quantity"] for r in rows), sum((Decimal(r["price_at_time"]) * r["quantity"] for r in rows), Decimal(0))

    def by(self, day, key):
        sums = defaultdict(Decimal)
        for r in self.rows.values():
            if r["purchased_at"].startswith(str(day)):
                sums[key(r)] += Decimal(r["price_at_time"]) * r["quantity"]
        return dict(sums)


def purchase(n, day, **more):
    return {
        "id": f"{day}-{n}", "product_id": list(PRODUCTS)[n % 3], "customer_id": n % 40 + 1, "seller_id": n % 7 + 1,
        "quantity": n % 5 + 1, "price_at_time": str(Decimal(n * 7919 % 1_000_000 + 1) / 10_000),
        "purchased_at": f"{day}T{n % 24:02d}:{n % 60:02d}:00.123456Z"} | more


def deletion(event, **more):
    return {"id": event["id"], "deleted": True, "purchased_at": event["purchased_at"]} | more


@pytest.fixture(scope="module")
def truth(shop, spark):
    """A shop with repeats, corrections, moves and deletions, in STAGE, in ClickHouse and in Iceberg."""
    for id, (name, category) in PRODUCTS.items():
        if id != "chair":  # it becomes known later
            shop.post("/products", {"id": id, "name": name, "category": category, "price": "9.99", "stock": 5})
    shop.eventually("the products are in Kafka", lambda: "products: all read" in shop.run("run-batch", "process_kafka_data"))
    truth = Truth(shop)
    rows = [purchase(n, day) for day in (FIRST, SECOND, THIRD) for n in range(1000)]
    truth.send(*rows)
    # what comes now is about rows that are in the table: it needs deletes
    shop.eventually("the facts are there", lambda: spark.catalog.tableExists(FACTS) and spark.table(FACTS).count() == len(rows))
    truth.send(*rows[:50])
    truth.send(*[r | {"quantity": 9} for r in rows[100:130]])
    truth.send(*[r | {"purchased_at": f"{SECOND}T05:00:00Z"} for r in rows[200:220]])
    truth.send(*[deletion(r) for r in rows[300:310]])
    truth.send({"id": rows[310]["id"], "deleted": True})
    truth.send({"id": "before", "deleted": True}, purchase(5000, FIRST, id="before"))
    settle(shop, truth)
    return truth


def settle(shop, truth):
    """Waits until STAGE, the live statistics and the Iceberg table have all that was sent."""
    shop.stage()
    want = {str(day): truth.day(day) for day in (FIRST, SECOND, THIRD)}

    def live():
        rows = shop.clickhouse("SELECT purchase_date, total_purchases, total_items, total_revenue FROM daily_purchase_stats")
        got = {day: (int(n), int(items), Decimal(revenue)) for day, n, items, revenue in rows}
        return all(got.get(day) == figures for day, figures in want.items())
    shop.eventually("the live statistics are right", live)
    shop.run("run-batch", "process_kafka_data")


def facts_equal(spark, shop, truth, day):
    """Waits for the stream to have written what was sent, then compares every row of a day."""
    want = {r["id"]: (r["product_id"], r["quantity"], Decimal(r["price_at_time"]), r["purchased_at"][:19])
            for r in truth.rows.values() if r["purchased_at"].startswith(str(day))}

    def seen():
        rows = spark.table(FACTS).where(F.col("purchase_date") == day).collect()
        got = {r.id: (r.product_id, r.quantity, r.price_at_time, r.purchased_at.astimezone(UTC).isoformat()[:19]) for r in rows}
        return len(rows) == len(got) and got == want
    shop.eventually(f"the facts of {day} are right", seen)


def test_spark_reads_what_go_wrote(spark, settings, shop, truth):
    facts_equal(spark, shop, truth, FIRST)
    facts_equal(spark, shop, truth, SECOND)
    schema = {f.name: f.dataType.simpleString() for f in spark.table(FACTS).schema.fields}
    assert schema["price_at_time"] == "decimal(18,4)" and schema["purchased_at"] == "timestamp" and schema["purchase_date"] == "date"
    deletes = spark.table(f"{FACTS}.all_delete_files").where("content = 2").count()
    assert deletes > 0, "the stream has written no equality deletes: nothing is tested here"

    rows = spark.read.option("basePath", "s3a://shop-stage-data/purchases").parquet(f"s3a://shop-stage-data/purchases/purchase_date={FIRST}")
    assert dict(rows.dtypes)["price_at_time"] == "decimal(18,4)"
    one = rows.where(F.col("id") == f"{FIRST}-7").select("price_at_time", F.unix_micros("purchased_at")).first()
    moment = datetime(FIRST.year, FIRST.month, FIRST.day, 7, 7, 0, 123456, tzinfo=UTC)
    assert one[0] == Decimal("5.5434") and one[1] == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_the_figures_equal_the_live_ones_and_a_second_run_changes_nothing(shop, truth, daily_job):
    for _ in range(2):
        report = daily_job(FIRST, SECOND)
        assert not report.wrong and not report.behind
        assert [(r.total_purchases, r.total_items, r.total_revenue) for r in report.totals] == [truth.day(FIRST), truth.day(SECOND)]
        assert report.repeated == 112  # each id that came twice, moved or was deleted
        columns = "purchase_date, total_purchases, total_items, total_revenue, avg_price"
        where = f"WHERE purchase_date IN ('{FIRST}', '{SECOND}') ORDER BY purchase_date"
        assert shop.clickhouse(f"SELECT {columns} FROM batch_daily_purchase_stats {where}") == \
            shop.clickhouse(f"SELECT {columns} FROM daily_purchase_stats {where}")
        products = shop.clickhouse("SELECT product_id, total_revenue FROM batch_top_products")
        want = truth.by(FIRST, lambda r: r["product_id"])
        for product, revenue in truth.by(SECOND, lambda r: r["product_id"]).items():
            want[product] += revenue
        assert {p: Decimal(revenue) for p, revenue in products} == want
        categories = shop.clickhouse(f"SELECT category, total_revenue FROM batch_category_sales WHERE purchase_date = '{FIRST}'")
        known = {"lamp": "light", "desk": "wood", "chair": "unknown"}
        assert {c: Decimal(r) for c, r in categories} == truth.by(FIRST, lambda r: known[r["product_id"]])
        [[customers, frequency, monetary, last]] = shop.clickhouse(
            "SELECT count(), sum(frequency), sum(monetary), max(last_purchase_at) FROM batch_customer_rfm")
        assert (int(customers), int(frequency)) == (40, truth.day(FIRST)[0] + truth.day(SECOND)[0])
        assert Decimal(monetary) == truth.day(FIRST)[2] + truth.day(SECOND)[2]
        assert last == f"{SECOND} 23:59:00.123456"
        [[month]] = shop.clickhouse("SELECT sum(total_purchases) FROM batch_monthly_purchase_stats")
        assert int(month) == truth.day(FIRST)[0] + truth.day(SECOND)[0]


def test_a_day_without_purchases_has_none_and_agrees(shop, truth, daily_job):
    report = daily_job(EMPTY)
    assert not report.wrong and not report.behind
    assert [(r.total_purchases, r.total_revenue) for r in report.totals] == [(0, 0)]
    assert shop.clickhouse(f"SELECT * FROM batch_daily_purchase_stats WHERE purchase_date = '{EMPTY}'") == []


def test_facts_are_corrected_and_the_stream_goes_on_behind(spark, settings, shop, truth, daily_job):
    facts_equal(spark, shop, truth, THIRD)
    id = [f"{THIRD}-{n}" for n in range(1000)]
    spark.sql(f"DELETE FROM {FACTS} WHERE purchase_date = DATE '{THIRD}' AND id IN ('{id[1]}', '{id[2]}')")
    spark.sql(f"UPDATE {FACTS} SET quantity = 77 WHERE purchase_date = DATE '{THIRD}' AND id = '{id[3]}'")
    spark.sql(f"""INSERT INTO {FACTS} (id, product_id, customer_id, seller_id, quantity, price_at_time, purchased_at, product_name,
        product_category, product_price, purchase_date) SELECT '{FIRST}-310', product_id, customer_id, seller_id, quantity, price_at_time,
        TIMESTAMP '{FIRST} 10:00:00Z', product_name, product_category, product_price, DATE '{FIRST}' FROM {FACTS} WHERE id = '{id[4]}'""")
    shop.post("/products", {"id": "chair", "name": "Chair", "category": "wood", "price": "49.00", "stock": 5})
    shop.eventually("the product is in STAGE", lambda: shop.stage() or
                    stage.Stage(spark, settings, None).products().where("product_id = 'chair'").count())

    report = daily_job(FIRST, THIRD, keep_snapshots=0)
    assert (report.facts["inserted"], report.facts["corrected"], report.facts["deleted"]) == (2, 1, 1)
    assert report.facts["left to their stream"] == 0
    facts_equal(spark, shop, truth, THIRD)
    facts_equal(spark, shop, truth, FIRST)
    assert spark.table(FACTS).where(f"purchase_date = DATE '{THIRD}' AND product_id = 'chair' AND product_name IS NULL").count() == 0
    files = spark.table(f"{FACTS}.files").where(f"partition.purchase_date = DATE '{THIRD}'")
    assert files.where("content = 0").count() == 1, "the day is not one file"
    assert spark.table(f"{FACTS}.snapshots").count() <= 5

    # the stream goes on behind what Spark committed: corrections of rows that Spark wrote, moved and compacted
    truth.send(purchase(1, THIRD, quantity=3), purchase(3, THIRD, quantity=4), purchase(500, THIRD, purchased_at=f"{SECOND}T01:00:00Z"),
               deletion(purchase(600, THIRD)), *[purchase(n, THIRD) for n in range(1000, 1200)], purchase(1001, THIRD))
    settle(shop, truth)
    for day in (FIRST, SECOND, THIRD):
        facts_equal(spark, shop, truth, day)
    report = daily_job(FIRST, SECOND, THIRD)
    assert not report.wrong and not report.behind
    assert {report.facts[name] for name in ("inserted", "corrected", "deleted", "left to their stream")} == {0}


def test_arguments_that_make_no_sense_are_refused(settings, capsys):
    for wrong in (["--from", "2026-01-02"], ["--from", "2026-01-03", "--to", "2026-01-02"], ["--date", "yesterday"],
                  ["--date", "2026-01-02", "--to", "2026-01-03"], ["--from", "2020-01-01", "--to", "2026-01-01"]):
        with pytest.raises(SystemExit) as left:
            command.arguments(wrong, settings)
        assert left.value.code == 2
    assert command.arguments(["--from", "2026-01-02", "--to", "2026-01-04"], settings).days == [date(2026, 1, n) for n in (2, 3, 4)]
