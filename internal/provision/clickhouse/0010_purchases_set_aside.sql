RENAME TABLE IF EXISTS purchases TO purchases_before_slices
