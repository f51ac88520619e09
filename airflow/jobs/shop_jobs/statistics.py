"""The statistics of purchases: pure transforms. Money is decimal(18,4), sums of it decimal(38,4): never a double (I5)."""

from pyspark.sql import functions as F
from pyspark.sql import types as T

MONEY_SUM = T.DecimalType(38, 4)
# of a product that nobody knows
UNKNOWN = "unknown"
FIGURES = ["total_purchases", "total_items", "total_revenue", "sum_of_prices"]


def _sums(revenue):
    return [
        F.count(F.lit(1)).alias("total_purchases"),
        F.sum("quantity").alias("total_items"),
        F.sum(revenue).cast(MONEY_SUM).alias("total_revenue"),
        F.sum("price_at_time").cast(MONEY_SUM).alias("sum_of_prices"),
    ]


def _revenue():
    # decimal(18,4) times decimal(19,0) is decimal(38,4): Spark has no digit to give away
    return F.col("price_at_time") * F.col("quantity").cast(T.DecimalType(19, 0))


def product_days(purchases):
    return purchases.groupBy("purchase_date", "product_id").agg(*_sums(_revenue()))


def customer_days(purchases):
    return purchases.groupBy("purchase_date", "customer_id").agg(
        *_sums(_revenue())[:3], F.max("purchased_at").alias("last_purchased_at"))


def _summed():
    return [F.sum(name).cast(T.LongType() if name in FIGURES[:2] else MONEY_SUM).alias(name) for name in FIGURES]


def day_totals(by_product):
    """The sums of each day, out of those by product: the purchases are read once for both."""
    return by_product.groupBy("purchase_date").agg(*_summed())


def category_days(by_product, products):
    """The sums of each day by the category that a product has now."""
    named = by_product.join(products.select("product_id", "category"), "product_id", "left")
    return (named.withColumn("category", F.coalesce(F.nullif("category", F.lit("")), F.lit(UNKNOWN)))
            .groupBy("purchase_date", "category").agg(*_summed()))


def average():
    """The mean price over purchases, rounded half up at the fourth decimal, as the live views have it."""
    exact = F.col("sum_of_prices") / F.col("total_purchases").cast(T.DecimalType(20, 0))
    return F.round(exact, 4).cast(T.DecimalType(18, 4))
