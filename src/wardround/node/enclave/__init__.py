"""The de-identified objects of a site, by content digest, and the index that cohorts are counted on."""
