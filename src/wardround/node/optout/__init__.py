"""Who opted out of research: kept as keyed digests, honoured at the door and backwards, never on the clinical path."""
