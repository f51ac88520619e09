"""The transforms on small frames: no servers but Spark."""

from datetime import date, datetime, timezone
from decimal import Decimal

import pytest
from shop_jobs import facts, purchases, reconcile, statistics
from shop_jobs.stage import SCHEMA

DAY, NEXT = date(2026, 1, 2), date(2026, 1, 3)


@pytest.fixture
def events(spark):
    def make(*rows):
        """Rows of (id, offset, day, price or None for a deletion); the rest follows."""
        return spark.createDataFrame([
            (id, "p1", 1, 1, 2, None if price is None else Decimal(price),
             None if price is None else datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc), price is None,
             "purchases", 0, offset, datetime(2026, 1, 4, tzinfo=timezone.utc), day)
            for id, offset, day, price in rows], SCHEMA)
    return make


def alive(day_rows, later_rows):
    suspected = purchases.suspects(day_rows, later_rows)
    decided = purchases.latest(day_rows, later_rows, suspected)
    rows = purchases.alive(day_rows, suspected, decided)
    return {row.id: row.price_at_time for row in rows.collect()}, {row.id for row in purchases.gone(decided).collect()}


def test_the_later_event_wins_by_offset(events):
    rows, gone = alive(events(("a", 1, DAY, "1"), ("a", 5, DAY, "3"), ("a", 3, DAY, "2"), ("b", 2, DAY, "7")), events())
    assert rows == {"a": Decimal("3"), "b": Decimal("7")} and not gone


def test_a_deletion_a_move_and_a_return_are_found_on_other_days(events):
    day_rows = events(("gone", 1, DAY, "1"), ("moved", 2, DAY, "1"), ("back", 3, DAY, "1"), ("back", 9, DAY, "4"), ("stays", 4, DAY, "1"))
    later = events(("gone", 5, NEXT, None), ("moved", 6, NEXT, "1"), ("back", 7, NEXT, None), ("other", 8, NEXT, "1"))
    rows, gone = alive(day_rows, later)
    assert rows == {"back": Decimal("4"), "stays": Decimal("1")}
    assert gone == {"gone", "moved"}


def test_a_deletion_before_its_purchase_does_not_outlive_it(events):
    rows, _ = alive(events(("a", 4, DAY, "1")), events(("a", 2, NEXT, None)))
    assert rows == {"a": Decimal("1")}


def test_sums_are_exact_where_a_double_is_not(spark, events):
    many = events(*[(f"id{n}", n, DAY, "99999999999999.9999") for n in range(200)], ("cent", 999, DAY, "0.0001"))
    by_product = statistics.product_days(purchases.without_repeats(many))
    total = statistics.day_totals(by_product).first()
    assert total.total_revenue == 200 * 2 * Decimal("99999999999999.9999") + Decimal("0.0002")
    assert str(by_product.schema["total_revenue"].dataType) == "DecimalType(38,4)"
    assert (total.total_purchases, total.total_items) == (201, 402)


def test_a_mean_is_rounded_half_up(spark):
    frame = spark.createDataFrame([(Decimal("0.0005"), 2), (Decimal("1.0000"), 3)], "sum_of_prices decimal(38,4), total_purchases bigint")
    assert [row.a for row in frame.select(statistics.average().alias("a")).collect()] == [Decimal("0.0003"), Decimal("0.3333")]


def test_a_product_that_nobody_knows_is_unknown(spark, events):
    by_product = statistics.product_days(purchases.without_repeats(events(("a", 1, DAY, "1"))))
    products = spark.createDataFrame([("p2", "Lamp", "light", Decimal(1))], "product_id string, name string, category string, price decimal(18,4)")
    assert statistics.category_days(by_product, products).first().category == "unknown"


def test_only_what_the_facts_have_taken_in_is_corrected(spark, events):
    stage = purchases.without_repeats(events(("changed", 1, DAY, "2"), ("lacking", 2, DAY, "1"), ("ahead", 50, DAY, "1"), ("same", 3, DAY, "1")))
    seen = purchases.without_repeats(events(("changed", 1, DAY, "1"), ("same", 3, DAY, "1"), ("deleted", 4, DAY, "1"), ("unknown", 5, DAY, "1")))
    table = seen.selectExpr("*", "'Old' AS product_name", "'old' AS product_category", "price_at_time AS product_price", "true AS product_known")
    products = spark.createDataFrame([("p1", "Lamp", "light", Decimal(1))], "product_id string, name string, category string, price decimal(18,4)")
    gone = spark.createDataFrame([("deleted", "purchases", 0, 9)], "id string, _topic string, _partition int, _offset bigint")
    ends = spark.createDataFrame([("purchases", 0, 40)], "_topic string, _partition int, facts_end bigint")
    changes = {row.id: row for row in facts.corrections(stage, gone, table, products, ends).collect()}
    assert {id: row.op for id, row in changes.items()} == {
        "changed": "update", "lacking": "insert", "ahead": None, "deleted": "delete", "unknown": None}
    assert changes["changed"].product_name == "Old" and changes["lacking"].product_name == "Lamp"


def test_a_product_that_came_late_is_filled_in(spark, events):
    table = purchases.without_repeats(events(("late", 1, DAY, "1"), ("known", 2, DAY, "1"))).selectExpr(
        "*", "IF(id = 'late', NULL, 'Old') AS product_name", "'old' AS product_category", "price_at_time AS product_price", "id <> 'late' AS product_known")
    products = spark.createDataFrame([("p1", "Lamp", "light", Decimal(1))], "product_id string, name string, category string, price decimal(18,4)")
    [row] = facts.late_products(table, products).collect()
    assert (row.op, row.id, row.product_name, row.product_category, row.product_known) == ("product", "late", "Lamp", "light", True)


def test_differing_buckets_are_those_of_differing_rows(events):
    one = purchases.without_repeats(events(*[(f"id{n}", n, DAY, "1") for n in range(500)]))
    two = purchases.without_repeats(events(*[(f"id{n}", n, DAY, "2" if n == 7 else "1") for n in range(500)]))
    assert facts.differing_buckets(one, one).count() == 0
    assert {row.id for row in facts.within(one, facts.differing_buckets(one, two)).collect()} >= {"id7"}
    assert facts.within(one, facts.differing_buckets(one, two)).count() < 10


def test_a_difference_names_figure_and_both_values(spark):
    schema = "purchase_date date, product_id string, total_purchases bigint"
    ours = spark.createDataFrame([(DAY, "a", 1), (DAY, "b", 2)], schema)
    live = spark.createDataFrame([(DAY, "a", 1), (DAY, "b", 3), (DAY, "c", 1)], schema)
    found = {(r.subject, r.figure, r.batch_value, r.live_value)
             for r in reconcile.differences(ours, live, ["purchase_date", "product_id"], ["total_purchases"], "products").collect()}
    assert found == {("b", "total_purchases", "2", "3"), ("c", "total_purchases", None, "1")}
