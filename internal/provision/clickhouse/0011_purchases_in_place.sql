RENAME TABLE IF EXISTS purchases_by_slice TO purchases
