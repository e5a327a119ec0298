"""The ground under both programs: settings, clock, database, files, logging, keys and certificates."""
