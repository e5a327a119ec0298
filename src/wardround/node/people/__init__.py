"""The hospital's own people. The hub knows none of them and gives no role here."""
