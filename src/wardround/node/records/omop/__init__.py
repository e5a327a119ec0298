"""Tables of the OMOP common data model, as a hospital's own OMOP has them, as records."""
