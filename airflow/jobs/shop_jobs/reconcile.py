"""Holds the figures of the batch against the live ones: pure transforms."""

from pyspark.sql import functions as F


def differences(batch, live, keys, figures, statistic):
    """A row per figure that differs: statistic, purchase_date, subject, figure, batch_value, live_value.

    A row that one side lacks has nulls there, except where the other side counts nothing.
    """
    ours = batch.select(*keys, *[F.col(f).cast("string").alias(f"ours_{f}") for f in figures])
    theirs = live.select(*keys, *[F.col(f).cast("string").alias(f"theirs_{f}") for f in figures])
    subject = [F.col(k).cast("string") for k in keys if k != "purchase_date"] or [F.lit("")]
    pairs = F.explode(F.array(*[
        F.struct(F.lit(f).alias("figure"), F.col(f"ours_{f}").alias("batch_value"), F.col(f"theirs_{f}").alias("live_value"))
        for f in figures
    ])).alias("pair")
    return (ours.join(theirs, list(keys), "full_outer")
            .select(F.lit(statistic).alias("statistic"), "purchase_date", subject[0].alias("subject"), pairs)
            .select("statistic", "purchase_date", "subject", "pair.*")
            .where("NOT batch_value <=> live_value"))
