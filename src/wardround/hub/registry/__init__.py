"""Model versions that the hub knows: by digest, with where they come from and how they were judged."""
