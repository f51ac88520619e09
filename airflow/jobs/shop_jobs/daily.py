"""The daily job: reads STAGE, computes, publishes, corrects the facts, holds the live figures against its own."""

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field

from pyspark import StorageLevel
from pyspark.sql import functions as F

from shop_jobs import facts as iceberg
from shop_jobs import purchases, statistics
from shop_jobs.analytics import Analytics
from shop_jobs.databases import ClickHouse, Postgres
from shop_jobs.stage import Stage

SHOWN = 20


class Clock:
    """How long each stage took."""

    def __init__(self):
        self.took = {}

    @contextmanager
    def stage(self, name):
        began = time.monotonic()
        yield
        self.took[name] = time.monotonic() - began
        print(f"daily_job: {name}: {self.took[name]:.1f} s", flush=True)


@dataclass
class Report:
    run: str
    totals: list = field(default_factory=list)
    repeated: int = 0
    facts: dict = field(default_factory=dict)
    # differences on days that changed after STAGE was filled: STAGE is behind, nothing is wrong
    behind: list = field(default_factory=list)
    wrong: list = field(default_factory=list)

    def text(self, clock):
        lines = [f"run {self.run}"]
        for row in self.totals:
            lines.append(f"{row.purchase_date}: {row.total_purchases:,} purchases, {row.total_items:,} items, revenue {row.total_revenue:f}")
        lines.append(f"ids with more than one event: {self.repeated:,}")
        lines.append("facts: " + (", ".join(f"{name} {value}" for name, value in self.facts.items()) or "not looked at"))
        for title, found in (("STAGE is behind the live figures, run the job again after copy_raw_to_stage", self.behind),
                             ("DIFFERS", self.wrong)):
            for row in found[:SHOWN]:
                subject = f" {row.subject}" if row.subject else ""
                lines.append(f"{title}: {row.purchase_date} {row.statistic}{subject} {row.figure}: "
                             f"batch {row.batch_value}, live {row.live_value}")
            if len(found) > SHOWN:
                lines.append(f"{title}: and {len(found) - SHOWN:,} figures more or above, in analytics.batch_differences")
        if not self.behind and not self.wrong:
            lines.append("all figures agree with the live ones")
        lines.append("seconds: " + ", ".join(f"{name} {took:.1f}" for name, took in clock.took.items())
                     + f", in all {sum(clock.took.values()):.1f}")
        return "\n".join("daily_job: " + line for line in lines)


def run(spark, settings, days, clock, **options):
    try:
        return _run(spark, settings, days, clock, **options)
    finally:
        # Spark takes two readings of a folder for the same frame, whatever came into it since
        spark.catalog.clearCache()


def _run(spark, settings, days, clock, facts=True, repair=False, keep_snapshots=3):
    report = Report(str(uuid.uuid4()))
    postgres = Postgres(spark, settings.postgres)
    stage, analytics = Stage(spark, settings, postgres), Analytics(ClickHouse(spark, settings.clickhouse))
    table = iceberg.FactsTable(spark, settings)

    with clock.stage("look up what to read"):
        computed_at = analytics.now()
        # before STAGE is listed: it has at least this
        ends, complete_until = stage.ends(), stage.complete_until()
        day_rows, later_rows = stage.rows(days), stage.later_rows(days)
        products = stage.products().cache()

    with clock.stage("find repeated ids"):
        suspected = purchases.suspects(day_rows, later_rows).persist(StorageLevel.MEMORY_AND_DISK)
        report.repeated = suspected.count()
        decided = None
        if report.repeated:
            decided = purchases.latest(day_rows, later_rows, suspected).persist(StorageLevel.MEMORY_AND_DISK)
            sold = purchases.alive(day_rows, suspected, decided)
        else:
            sold = purchases.without_repeats(day_rows)
        # the folder says the day; a row whose moment says another was put there by hand
        sold = sold.where(F.col("purchase_date") == F.to_date("purchased_at"))

    with clock.stage("sums by product and day"):
        by_product = statistics.product_days(sold).cache()
        totals = _every_day(spark, days, statistics.day_totals(by_product)).cache()
        report.totals = totals.orderBy("purchase_date").collect()
        by_category = statistics.category_days(by_product, products)

    with clock.stage("sums by customer"):
        by_customer = statistics.customer_days(sold).persist(StorageLevel.MEMORY_AND_DISK)
        by_customer.count()

    with clock.stage("publish to ClickHouse"):
        analytics.publish(report.run, computed_at, totals, (by_category, by_product, by_customer))
        analytics.forget(days)

    if facts and table.exists():
        with clock.stage("compare and correct facts"):
            report.facts = _correct(spark, table, days, sold, decided, products, ends)
        with clock.stage("compact facts"):
            rewritten, added, expired = table.maintain(days, keep_snapshots)
            report.facts |= {"files rewritten": f"{rewritten} to {added}", "snapshots expired": expired}

    with clock.stage("compare with live"):
        found = analytics.differences(days, totals, by_category, by_product, by_customer)
        if found:
            # without such runs in the ledger nothing says that STAGE is behind
            late = set() if complete_until is None else analytics.touched_since(days, complete_until)
            report.behind = [row for row in found if str(row.purchase_date) in late]
            report.wrong = [row for row in found if str(row.purchase_date) not in late]
            analytics.note(report.run, found)
            if repair and report.wrong:
                analytics.recompute(sorted({row.purchase_date for row in report.wrong}))
    return report


def _every_day(spark, days, totals):
    """A day without a purchase has zeros: it may have had some when the job ran last."""
    calendar = spark.createDataFrame([(day,) for day in days], "purchase_date date")
    return calendar.join(totals, "purchase_date", "left").na.fill(0, statistics.FIGURES)


def _correct(spark, table, days, sold, decided, products, ends):
    snapshot, taken = table.snapshot_within(ends)
    if snapshot is None:
        return {"not compared": "STAGE has nothing of what they hold yet"}
    facts = table.rows(days, snapshot)
    buckets = iceberg.differing_buckets(sold, facts).cache()
    changes = iceberg.late_products(facts, products)
    differing = buckets.count()
    if differing:
        gone = spark.createDataFrame([], "id string, _topic string, _partition int, _offset bigint")
        if decided is not None:
            gone = purchases.gone(decided)
        known = [(topic, partition, upto) for (topic, partition), upto in taken.items()]
        facts_ends = spark.createDataFrame(known, "_topic string, _partition int, facts_end bigint")
        changes = changes.unionByName(iceberg.corrections(
            iceberg.within(sold, buckets), gone, iceberg.within(facts, buckets), products, facts_ends))
    changes = changes.cache()
    counts = {row.op: row["count"] for row in changes.groupBy("op").count().collect()}
    waiting = counts.pop(None, 0)
    if counts:
        # one row per id, and what has to change of its content is more than its product's name
        one = changes.where("op IS NOT NULL").groupBy("purchase_date", "id").agg(
            F.max_by(F.struct("op", "seen", *[c for c in iceberg.COLUMNS if c not in ("id", "purchase_date")]), F.col("op") != "product").alias("c"))
        table.correct(one.select("purchase_date", "id", "c.*"), days)
    done = {"insert": "inserted", "update": "corrected", "delete": "deleted", "product": "given their late product"}
    return {title: counts.get(op, 0) for op, title in done.items()} | {"left to their stream": waiting}
