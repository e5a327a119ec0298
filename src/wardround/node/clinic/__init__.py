"""The clinical path: models in use here, studies as they arrive, results back to the PACS. Never to the hub."""
