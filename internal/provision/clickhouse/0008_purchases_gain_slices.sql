-- A slice is a run of arrivals: 131,072 offsets of every partition. The sink writes it, and the hour of the
-- business day; the defaults are for rows from before.
ALTER TABLE purchases
    ADD COLUMN IF NOT EXISTS purchase_hour UInt8 DEFAULT toHour(purchased_at) CODEC(LZ4) AFTER purchase_date,
    ADD COLUMN IF NOT EXISTS slice UInt32 DEFAULT toUInt32(bitShiftRight(version, 18)) CODEC(Delta, LZ4) AFTER purchase_hour
