"""STAGE: which of its objects concern a range of days, and their rows."""

from pyspark.sql import functions as F
from pyspark.sql import types as T

ENTITY = "purchases"
FOLDER = "purchase_date"

# the contract's fields that the jobs need, then a row's place in Kafka
SCHEMA = T.StructType([
    T.StructField("id", T.StringType()),
    T.StructField("product_id", T.StringType()),
    T.StructField("customer_id", T.LongType()),
    T.StructField("seller_id", T.LongType()),
    T.StructField("quantity", T.LongType()),
    T.StructField("price_at_time", T.DecimalType(18, 4)),
    T.StructField("purchased_at", T.TimestampType()),
    T.StructField("deleted", T.BooleanType()),
    T.StructField("_topic", T.StringType()),
    T.StructField("_partition", T.IntegerType()),
    T.StructField("_offset", T.LongType()),
    T.StructField("_timestamp", T.TimestampType()),
    T.StructField(FOLDER, T.DateType()),
])


PRODUCTS = T.StructType([
    T.StructField("id", T.StringType()),
    T.StructField("name", T.StringType()),
    T.StructField("category", T.StringType()),
    T.StructField("price", T.DecimalType(18, 4)),
    T.StructField("deleted", T.BooleanType()),
    T.StructField("_topic", T.StringType()),
    T.StructField("_offset", T.LongType()),
    T.StructField("_timestamp", T.TimestampType()),
])


class Stage:
    """The rows in STAGE, and what the ledger in PostgreSQL says of them."""

    def __init__(self, spark, settings, postgres):
        self.spark = spark
        self.products_root = f"s3a://{settings.stage_bucket}/products"
        self.root = f"s3a://{settings.stage_bucket}/{ENTITY}"
        self.postgres = postgres

    def rows(self, days):
        """The rows in the folders of days. A day without a folder has none."""
        paths = [path for path in (f"{self.root}/{FOLDER}={day}" for day in days) if self._exists(path)]
        if not paths:
            return self.spark.createDataFrame([], SCHEMA)
        return self.spark.read.schema(SCHEMA).option("basePath", self.root).parquet(*paths)

    def products(self):
        """A row per product as it is now, or was when it was deleted: what was sold stays in its category."""
        rows = self.spark.createDataFrame([], PRODUCTS)
        if self._exists(self.products_root):
            rows = self.spark.read.schema(PRODUCTS).option("recursiveFileLookup", "true").parquet(self.products_root)
        last = F.max_by(F.struct("name", "category", "price"), F.struct(F.col("_topic") != "", "_offset", "_timestamp"))
        return rows.where("NOT deleted").groupBy(F.col("id").alias("product_id")).agg(last.alias("p")).select("product_id", "p.*")

    def _exists(self, path):
        jvm = self.spark._jvm
        location = jvm.org.apache.hadoop.fs.Path(path)
        return location.getFileSystem(self.spark._jsc.hadoopConfiguration()).exists(location)

    def later_days(self, days):
        """Other days that hold events which came after the first event of days.

        A correction may have moved a purchase to another day, and a deletion that names no day lies where it
        arrived: both have a higher offset than the row that they supersede.
        """
        slices = ", ".join(f"'{FOLDER}={day}'" for day in days)
        found = self.postgres.query(f"""
            SELECT DISTINCT substring(other.day FROM '\\d{{4}}-\\d\\d-\\d\\d') AS day
            FROM stage_ranges AS other
            JOIN (SELECT topic, partition, min(first_offset) AS first FROM stage_ranges
                  WHERE entity = '{ENTITY}' AND day IN ({slices}) GROUP BY topic, partition) AS ours USING (topic, partition)
            WHERE other.entity = '{ENTITY}' AND other.day NOT IN ({slices}) AND other.last_offset > ours.first""").collect()
        return sorted(row.day for row in found if row.day)

    def later_rows(self, days):
        """What lies on other days and may supersede rows of days; of it, what says so and no more."""
        rows = self.rows(self.later_days(days))
        first = self.postgres.query(f"""
            SELECT coalesce(min(first_offset), 0) AS first FROM stage_ranges
            WHERE entity = '{ENTITY}' AND day IN ({", ".join(f"'{FOLDER}={day}'" for day in days)})""").first().first
        return rows.where(F.col("_offset") > first)

    def ends(self):
        """Per topic and partition the offset behind the last one that STAGE has; {} while objects wait for STAGE."""
        waiting = self.postgres.query(f"SELECT count(*) AS n FROM raw_objects WHERE entity = '{ENTITY}' AND pending").first().n
        if waiting:
            return {}
        found = self.postgres.query(
            f"SELECT topic, partition, max(last_offset) + 1 AS upto FROM stage_ranges WHERE entity = '{ENTITY}' GROUP BY 1, 2"
        ).collect()
        return {(row.topic, row.partition): row.upto for row in found}

    def complete_until(self):
        """Until when STAGE has everything, as epoch seconds: the start of the last run that read the topics, if its
        objects are in STAGE since. None where the ledger has no such pair of runs."""
        row = self.postgres.query("""
            SELECT extract(epoch FROM max(reading.started_at))::double precision AS at
            FROM batch_runs AS reading JOIN batch_runs AS staging ON staging.started_at >= reading.finished_at
            WHERE reading.name = 'process_kafka_data' AND reading.status = 'succeeded'
              AND staging.name = 'copy_raw_to_stage' AND staging.status = 'succeeded'
              AND staging.parameters->>'entity' IN ('purchases', 'all')
              AND coalesce(staging.parameters->>'date', '') = '' AND coalesce(staging.parameters->>'folder', '') = ''""").first()
        return row.at
