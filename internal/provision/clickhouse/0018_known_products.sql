-- One row per product, as it is now, or was when it was deleted.
CREATE OR REPLACE VIEW known_products AS
SELECT id AS product_id, name AS product_name, category, price
FROM products FINAL
WHERE NOT is_deleted
