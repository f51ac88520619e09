"""The Iceberg table analytics.purchase_product_facts: what differs from STAGE, its correction, its upkeep.

A stream of shop-connect writes the table all the time. What it has taken in of Kafka is in the summary of each snapshot;
snapshots that are made here say nothing of it, and the stream reads on to an older one, or to the table's
properties, which each of its commits brings up to date.
"""

import json
from datetime import UTC, datetime, timedelta

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from shop_jobs import purchases

OFFSETS = "shop-connect.offsets"
BUCKETS = 4096
PRODUCT = ["product_name", "product_category", "product_price", "product_known"]
# of sellers and customers the stream facts_repair fills in what is marked as unknown
OTHERS = {"seller_name": "seller_id", "customer_country": "customer_id", "customer_segment": "customer_id"}
KNOWN = {"seller_known": "seller_id", "customer_known": "customer_id"}
COLUMNS = ["id", *purchases.CONTENT, *PRODUCT, "purchase_date"]
ATTEMPTS = 5


def content_hash():
    return F.xxhash64("id", *purchases.CONTENT)


def fingerprints(rows):
    """Per day and bucket of ids, how many rows there are and a sum over what is in them, whatever their order."""
    return (rows.select("purchase_date", F.pmod(F.xxhash64("id"), F.lit(BUCKETS)).alias("bucket"), content_hash().alias("h"))
            .groupBy("purchase_date", "bucket").agg(F.count(F.lit(1)).alias("n"), F.bit_xor("h").alias("sum")))


def differing_buckets(stage, facts):
    ours, theirs = fingerprints(stage), fingerprints(facts)
    on = ["purchase_date", "bucket"]
    return (ours.withColumnRenamed("n", "n1").withColumnRenamed("sum", "s1")
            .join(theirs.withColumnRenamed("n", "n2").withColumnRenamed("sum", "s2"), on, "full_outer")
            .where("NOT (n1 <=> n2 AND s1 <=> s2)").select(*on))


def within(rows, buckets):
    keyed = rows.withColumn("bucket", F.pmod(F.xxhash64("id"), F.lit(BUCKETS)))
    return keyed.join(F.broadcast(buckets), ["purchase_date", "bucket"], "left_semi").drop("bucket")


def corrections(stage, gone, facts, products, ends):
    """What has to change for the facts to be what STAGE says: op, the row as it must be, what it is seen to be.

    Only what the facts' stream has taken in can be wrong there; what it has yet to read, it will write itself. So an
    event counts where its offset is below the facts' end; op is null where it is not.
    """
    ours = stage.select("purchase_date", "id", *purchases.CONTENT, "_topic", "_partition", "_offset", content_hash().alias("wanted"))
    theirs = facts.select("purchase_date", "id", F.col("product_id").alias("had_product"), *PRODUCT, content_hash().alias("seen"))
    changed = (ours.join(theirs, ["purchase_date", "id"], "full_outer")
               .where("NOT wanted <=> seen")
               .join(gone.select("id", *[F.col(c).alias("gone" + c) for c in ("_topic", "_partition", "_offset")]), "id", "left"))
    changed = (changed
               .withColumn("_topic", F.coalesce("_topic", "gone_topic"))
               .withColumn("_partition", F.coalesce("_partition", "gone_partition"))
               .withColumn("_offset", F.coalesce("_offset", "gone_offset")))
    taken = (F.col("_topic") == "") | (F.col("_offset") < F.col("facts_end"))
    op = (F.when(taken & F.col("seen").isNull(), "insert")
          .when(taken & F.col("wanted").isNotNull(), "update")
          .when(taken & F.col("gone_offset").isNotNull(), "delete"))
    names = _named(products, "new_")
    changed = (changed.join(F.broadcast(ends), ["_topic", "_partition"], "left").withColumn("op", op)
               .join(F.broadcast(names), "product_id", "left"))
    keep = F.col("had_product").eqNullSafe(F.col("product_id"))
    for column in PRODUCT[:-1]:
        new = F.col(column.replace("product", "new"))
        changed = changed.withColumn(column, F.when(keep, F.coalesce(column, new)).otherwise(new))
    changed = changed.withColumn("product_known", F.col("product_name").isNotNull())
    return changed.select("op", "seen", *COLUMNS)


def late_products(facts, products):
    """Facts whose product was unknown when they came, and is known by now."""
    return (facts.where("product_name IS NULL").drop(*PRODUCT).join(F.broadcast(_named(products, "product_")), "product_id")
            .select(F.lit("product").alias("op"), content_hash().alias("seen"), *COLUMNS))


def _named(products, prefix):
    return products.select("product_id", *[F.col(c).alias(prefix + c) for c in ("name", "category", "price")],
                           F.lit(True).alias(prefix + "known"))


class FactsTable:
    def __init__(self, spark, settings):
        self.spark = spark
        self.catalog = settings.catalog
        self.name = f"{settings.catalog}.analytics.purchase_product_facts"

    def exists(self):
        try:
            self.spark.table(self.name)
        except (PySparkException, Py4JError) as error:
            # the catalog's own tables come with the first commit
            if "TABLE_OR_VIEW_NOT_FOUND" in str(error) or "does not exist" in str(error):
                return False
            raise
        return True

    def rows(self, days, snapshot):
        rows = self.spark.read.option("versionAsOf", snapshot).table(self.name).where(F.col("purchase_date").isin(list(days)))
        # a snapshot from before a column was added has the schema of then
        return rows if "product_known" in rows.columns else rows.withColumn("product_known", F.lit(None).cast("boolean"))

    def snapshot_within(self, ends):
        """The newest snapshot of main that has taken in no more than STAGE has, with the ends of what it has taken in.

        Two states of the same events can be compared exactly, though both go on meanwhile.
        """
        history = {row.snapshot_id: row for row in self.spark.table(f"{self.name}.snapshots").collect()}
        head = self.spark.table(f"{self.name}.refs").where("name = 'main'").first()
        if head is None:
            return None, {}
        properties = {row.key: row.value for row in self.spark.sql(f"SHOW TBLPROPERTIES {self.name}").collect()}
        at = head.snapshot_id
        while at in history:
            taken = _ends(_offsets(history, at) or properties.get(OFFSETS))
            if all(upto <= ends.get(place, 0) for place, upto in taken.items()):
                return at, taken
            at = history[at].parent_id
        return None, {}

    def correct(self, changes, days):
        """Applies corrections to the table as it is now. A row that has changed since it was looked at is left alone."""
        changes.createOrReplaceTempView("corrections")
        listed = ", ".join(f"DATE '{day}'" for day in days)
        hashed = ", ".join("t." + c for c in ["id", *purchases.CONTENT])
        sets = ", ".join(
            [f"{c} = c.{c}" for c in COLUMNS if c not in ("id", "purchase_date")]
            + [f"{c} = CASE WHEN t.{key} = c.{key} THEN t.{c} END" for c, key in OTHERS.items()]
            + [f"{c} = t.{c} AND t.{key} = c.{key}" for c, key in KNOWN.items()])
        into = ", ".join([*COLUMNS, *KNOWN, *OTHERS])
        values = ", ".join(["c." + c for c in COLUMNS] + ["false"] * len(KNOWN) + ["NULL"] * len(OTHERS))
        statement = f"""
            MERGE INTO {self.name} AS t USING corrections AS c
            ON t.purchase_date = c.purchase_date AND t.id = c.id AND t.purchase_date IN ({listed})
            WHEN MATCHED AND c.op = 'delete' AND xxhash64({hashed}) = c.seen THEN DELETE
            WHEN MATCHED AND c.op IN ('update', 'product') AND xxhash64({hashed}) = c.seen THEN UPDATE SET {sets}
            WHEN NOT MATCHED AND c.op = 'insert' THEN INSERT ({into}) VALUES ({values})"""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self.spark.sql(statement)
                return
            except (PySparkException, Py4JError) as error:
                # the stream has written to one of these days meanwhile
                conflict = "ValidationException" in str(error) or "CommitFailedException" in str(error)
                if not conflict or attempt == ATTEMPTS:
                    raise

    def maintain(self, days, keep_days):
        """Makes the small files of days large ones and forgets old snapshots. What a reader sees stays as it is."""
        listed = ", ".join(f"DATE ''{day}''" for day in days)
        rewritten = self.spark.sql(f"""
            CALL {self.catalog}.system.rewrite_data_files(table => '{self.name}', where => 'purchase_date IN ({listed})',
              options => map('min-input-files', '2', 'delete-file-threshold', '1', 'remove-dangling-deletes', 'true',
                             'partial-progress.enabled', 'true'))""").first()
        before = (datetime.now(UTC) - timedelta(days=keep_days)).strftime("%Y-%m-%d %H:%M:%S")
        expired = self.spark.sql(f"""
            CALL {self.catalog}.system.expire_snapshots(table => '{self.name}', older_than => TIMESTAMP '{before} UTC', retain_last => 5)""").first()
        return rewritten.rewritten_data_files_count, rewritten.added_data_files_count, expired.deleted_manifest_lists_count


def _offsets(history, snapshot):
    """What the newest snapshot says that says anything, as the stream itself reads it."""
    while snapshot in history:
        text = history[snapshot].summary.get(OFFSETS)
        if text:
            return text
        snapshot = history[snapshot].parent_id
    return None


def _ends(text):
    """{"topic": {"partition": [newest timestamp, from, to, …]}} as {(topic, partition): end}."""
    return {
        (topic, int(partition)): numbers[-1]
        for topic, partitions in json.loads(text or "{}").items()
        for partition, numbers in partitions.items() if len(numbers) > 1
    }
