"""What a reading gives out, on its way to the PACS and to records: kept, sent, committed. Never to the hub."""
