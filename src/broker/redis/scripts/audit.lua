-- A queue's ledger at one moment.
-- KEYS: stream, about   -> {put, done, dead, dropped, length, leased}
return ledger(KEYS[1], KEYS[2])
