"""This hospital on the record: its entries in the ledger, and its mirror and witness of all of it."""
