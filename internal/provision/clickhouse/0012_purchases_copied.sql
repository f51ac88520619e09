-- What is deleted stays behind: the index remembers the deletion, should an earlier event be delivered again.
INSERT INTO purchases SELECT * FROM purchases_before_slices FINAL SETTINGS max_partitions_per_insert_block = 0
