"""Records of topic purchases as rows of RAW: pure transforms.

A row has the contract's fields, all of them optional, its place in Kafka and its bytes. What is not a JSON object or has a
value of another type is refused; what a valid purchase needs beyond that is the business of STAGE.
"""

from pyspark.sql import functions as F
from pyspark.sql import types as T

# a price is read with more places than it may have, to be refused and not rounded (I5)
WIDE = T.DecimalType(38, 18)
BROKEN = "_broken"
JSON = T.StructType([
    T.StructField("id", T.StringType()),
    T.StructField("product_id", T.StringType()),
    T.StructField("customer_id", T.LongType()),
    T.StructField("seller_id", T.LongType()),
    T.StructField("quantity", T.LongType()),
    T.StructField("price_at_time", WIDE),
    T.StructField("purchased_at", T.StringType()),
    T.StructField("deleted", T.BooleanType()),
    T.StructField(BROKEN, T.StringType()),
])
COLUMNS = ["id", "product_id", "customer_id", "seller_id", "quantity", "price_at_time", "purchased_at",
           "deleted", "_topic", "_partition", "_offset", "_timestamp", "_value"]


def parsed(records):
    """Kafka's columns made into RAW's, and `reasons`: null where the row is taken."""
    rows = records.select(
        F.col("topic").alias("_topic"), F.col("partition").alias("_partition"), F.col("offset").alias("_offset"),
        F.col("timestamp").alias("_timestamp"), F.coalesce("value", F.lit(b"")).alias("_value"), "key")
    text = F.try_validate_utf8(F.col("_value").cast("string"))
    rows = rows.withColumn("json", F.from_json(text, JSON, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": BROKEN}))
    moment = F.expr("try_cast(json.purchased_at AS timestamp)")
    price = F.expr("try_cast(json.price_at_time AS decimal(18,4))")
    reason = (
        _when(F.col("json").isNull() | ~F.trim(text).startswith("{"), "", "json", "is not one JSON object")
        .when(F.col(f"json.{BROKEN}").isNotNull(), _reason("", "type", "a value has another type than its field"))
        .when(F.col("json.price_at_time").isNotNull() & (price.isNull() | (price != F.col("json.price_at_time"))),
              _reason("price_at_time", "type", "must be a decimal with up to 18 digits, 4 of them behind the point"))
        .when(F.col("json.purchased_at").isNotNull() & moment.isNull(), _reason("purchased_at", "type", "must be an ISO 8601 time")))
    derived = F.concat_ws("-", "_topic", "_partition", "_offset")
    return (rows.withColumn("reasons", reason)
            .withColumn("id", F.coalesce("json.id", derived)).withColumn("deleted", F.coalesce("json.deleted", F.lit(False)))
            .withColumn("price_at_time", price).withColumn("purchased_at", moment)
            .select("id", "json.product_id", "json.customer_id", "json.seller_id", "json.quantity", "price_at_time", "purchased_at",
                    "deleted", "_topic", "_partition", "_offset", "_timestamp", "_value", "key", "reasons"))


def _reason(field, rule, message):
    return F.to_json(F.array(F.struct(F.lit(field).alias("field"), F.lit(rule).alias("rule"), F.lit(message).alias("message"))))


def _when(condition, *reason):
    return F.when(condition, _reason(*reason))


def taken(rows):
    """The rows of RAW, with the business day that they lie under: of the purchase, else of the record (I6)."""
    day = F.to_date(F.coalesce("purchased_at", "_timestamp"))
    return rows.where("reasons IS NULL").select(*COLUMNS, day.alias("purchase_date"))


def refused(rows, layer, version):
    """What goes to purchases.rejected: the record's bytes and key, and in its headers who refused it and why."""
    def header(name, value):
        return F.struct(F.lit(name).alias("key"), value.cast("binary").alias("value"))
    headers = F.array(
        header("refused_reasons", F.col("reasons")), header("refused_by", F.lit(layer)), header("refused_entity", F.lit("purchases")),
        header("refused_contract_version", F.lit(str(version))),
        header("refused_source", F.concat_ws("-", "_topic", "_partition", "_offset")))
    return rows.where("reasons IS NOT NULL").select(
        F.lit("purchases.rejected").alias("topic"), "key", F.col("_value").alias("value"), headers.alias("headers"))


def hours(rows):
    """The sums of each hour of a batch's purchases."""
    revenue = F.col("price_at_time") * F.col("quantity").cast(T.DecimalType(19, 0))
    return (rows.where("NOT deleted AND purchased_at IS NOT NULL AND price_at_time IS NOT NULL AND quantity IS NOT NULL")
            .groupBy(F.window("purchased_at", "1 hour").alias("hour"))
            .agg(F.count(F.lit(1)).alias("events"), F.sum("quantity").alias("items"), F.sum(revenue).cast("decimal(38,4)").alias("revenue"))
            .select(F.col("hour.start").alias("hour"), "events", "items", "revenue"))
