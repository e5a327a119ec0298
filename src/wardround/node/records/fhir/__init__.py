"""FHIR R4 bundles and bulk exports (NDJSON) as records."""
