"""The batch's own tables in ClickHouse, and the live ones that they are held against."""

import time

from pyspark.sql import functions as F

from shop_jobs import reconcile, statistics

# rows of a day become readable with the day's row in batch_days, all at once
PARTS = ("batch_category_days", "batch_product_days", "batch_customer_days")
LIVE_ATTEMPTS = 6
# differences that are kept of a run; a day that one side lacks has one for each of its customers
MOST = 1000


def _text(frame):
    """Days and moments as text; moments as seconds since 1970, which are of no zone."""
    columns = []
    for field in frame.schema.fields:
        column = F.col(field.name)
        if field.dataType.typeName() == "date":
            column = column.cast("string")
        elif field.dataType.typeName() == "timestamp":
            column = (F.unix_micros(column).cast("decimal(20,0)") / 1_000_000).cast("decimal(20,6)").cast("string")
        columns.append(column.alias(field.name))
    return frame.select(*columns)


class Analytics:
    def __init__(self, clickhouse):
        self.clickhouse = clickhouse

    def now(self):
        """The server's clock, which orders the batch's runs."""
        return self.clickhouse.query("SELECT toString(now64(6, 'UTC')) AS now").first().now

    def publish(self, run, computed_at, totals, parts):
        """Writes the parts of days and then, in one block, the days themselves: a reader sees all of a run or nothing."""
        for table, frame in zip(PARTS, parts, strict=True):
            self.clickhouse.append(_text(frame.withColumn("run_id", F.lit(run))), table)
        days = totals.withColumn("run_id", F.lit(run)).withColumn("computed_at", F.lit(computed_at))
        self.clickhouse.append(_text(days.coalesce(1)), "batch_days")

    def forget(self, days):
        """Removes what earlier runs wrote for days, once no reader can be at it any more."""
        listed = _listed(days)
        old = f"""WHERE purchase_date IN ({listed}) AND written_at < now() - INTERVAL 1 HOUR
            AND (purchase_date, run_id) NOT IN (SELECT purchase_date, run_id FROM batch_days FINAL)"""
        for table in PARTS:
            # a deletion goes through every part of the table, this look only through those of the days
            if self.clickhouse.query(f"SELECT toInt64(count()) AS n FROM {table} {old}").first().n:
                self.clickhouse.execute(f"DELETE FROM {table} {old}")

    def differences(self, days, totals, by_category, by_product, by_customer):
        """The figures that differ from the live ones, as rows; [] where all are equal.

        The live statistics follow their rows within seconds, so a difference must last to be one.
        """
        for attempt in range(LIVE_ATTEMPTS):
            found = self._differences(days, totals, by_category, by_product, by_customer).collect()
            if not found:
                break
            if attempt < LIVE_ATTEMPTS - 1:
                time.sleep(1 + attempt)
        return found

    def _differences(self, days, totals, by_category, by_product, by_customer):
        where = f"WHERE purchase_date IN ({_listed(days)})"
        sums = "toInt64(count()) AS total_purchases, toInt64(sum(quantity)) AS total_items, sum(total_price) AS total_revenue"
        public = "toInt64(total_purchases) AS total_purchases, toInt64(total_items) AS total_items, total_revenue"
        counted = statistics.FIGURES[:3]
        compared = [
            ("category_sales", by_category, ["category"], counted, f"category, {public} FROM category_sales {where}"),
            ("daily_purchase_stats", totals.where("total_purchases > 0").withColumn("avg_price", statistics.average()), [],
             [*counted, "avg_price"], f"{public}, avg_price FROM daily_purchase_stats {where}"),
            ("products", by_product, ["product_id"], statistics.FIGURES,
             f"product_id, {sums}, sum(price_at_time) AS sum_of_prices FROM purchases FINAL {where} GROUP BY day, product_id"),
            ("customers", by_customer, ["customer_id"], counted,
             f"customer_id, {sums} FROM purchases FINAL {where} GROUP BY day, customer_id"),
        ]
        found = None
        for name, batch, keys, figures, select in compared:
            live = self.clickhouse.query("SELECT toString(purchase_date) AS day, " + select)
            live = live.withColumn("purchase_date", F.col("day").cast("date")).drop("day")
            rows = reconcile.differences(batch, live, ["purchase_date", *keys], figures, name)
            found = rows if found is None else found.unionByName(rows)
        return found.orderBy("purchase_date", "statistic", "subject", "figure").limit(MOST)

    def touched_since(self, days, moment):
        """Days whose live rows changed after a moment."""
        rows = self.clickhouse.query(f"""SELECT DISTINCT toString(day) AS touched FROM purchase_slices_touched
            WHERE day IN ({_listed(days)}) AND touched_at >= toDateTime64('{moment:.6f}', 6, 'UTC')""").collect()
        return {row.touched for row in rows}

    def note(self, run, found):
        spark = self.clickhouse.spark
        frame = spark.createDataFrame(found).withColumn("run_id", F.lit(run))
        self.clickhouse.append(_text(frame.na.fill("", ["batch_value", "live_value"])), "batch_differences")

    def recompute(self, days):
        """Has the live statistics of days computed again from their rows."""
        self.clickhouse.execute(f"""INSERT INTO purchase_slices_touched (day, slice)
            SELECT DISTINCT purchase_date, slice FROM purchases WHERE purchase_date IN ({_listed(days)})""")


def _listed(days):
    return ", ".join(f"toDate32('{day}')" for day in days)
