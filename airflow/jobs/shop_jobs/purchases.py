"""Which purchases are there, out of their events: pure transforms.

The later event of an id wins, by its offset. Nearly every id has one event, so ids are not sorted and carried
around for the sake of the few that have more: those are found by a hash of the id first.
"""

from pyspark.sql import functions as F

CONTENT = ["product_id", "customer_id", "seller_id", "quantity", "price_at_time", "purchased_at"]
PLACE = ["_topic", "_partition", "_offset", "_timestamp"]
HASH = "id_hash"


def hashed(rows):
    return rows.withColumn(HASH, F.xxhash64("id"))


def suspects(day_rows, later_rows):
    """Hashes of the ids of the days that have more than one event, there or later elsewhere."""
    def keys(rows, own):
        return rows.select(F.xxhash64("id").alias(HASH), F.lit(own).alias("own"))

    return (keys(day_rows, 1).unionAll(keys(later_rows, 0))
            .groupBy(HASH).agg(F.sum("own").alias("own"), F.count(F.lit(1)).alias("events"))
            .where("own > 0 AND events > 1").select(HASH))


def _rank():
    # a row that never was in Kafka is older than any that was
    return F.struct(F.col("_topic") != "", F.col("_offset"), F.col("_timestamp"), F.col("own"))


def latest(day_rows, later_rows, suspected):
    """One row per suspected id: its latest event, and whether that is on one of the days."""
    events = (hashed(day_rows).withColumn("own", F.lit(True))
              .unionByName(hashed(later_rows).withColumn("own", F.lit(False)))
              .join(suspected, HASH, "left_semi"))
    whole = F.struct(*[c for c in events.columns if c not in ("id", HASH)])
    return events.groupBy("id").agg(F.max_by(whole, _rank()).alias("last")).select("id", "last.*")


def alive(day_rows, suspected, decided):
    """The purchases of the days: each id once, with its latest content, unless it is deleted or has moved away."""
    sure = hashed(day_rows).join(suspected, HASH, "left_anti").where(~F.col("deleted"))
    columns = ["purchase_date", "id", *CONTENT, *PLACE]
    return sure.select(*columns).unionByName(decided.where("own AND NOT deleted").select(*columns))


def without_repeats(day_rows):
    """alive() where no id is suspected: nothing needs to be looked up."""
    return day_rows.where(~F.col("deleted")).select("purchase_date", "id", *CONTENT, *PLACE)


def gone(decided):
    """Ids that the days had and have no more, with the place of the event that says so."""
    return decided.where("NOT own OR deleted").select("id", *PLACE)
