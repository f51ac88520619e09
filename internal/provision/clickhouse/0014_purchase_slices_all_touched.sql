INSERT INTO purchase_slices_touched (day, slice) SELECT DISTINCT purchase_date, slice FROM purchases
