"""Any file of separated values as records, by a mapping file that says what its columns mean."""
