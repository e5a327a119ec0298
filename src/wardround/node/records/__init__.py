"""Health records at a node, in OMOP CDM 5.4, under the same pseudonyms and shifted dates as the enclave's images."""
