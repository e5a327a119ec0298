"""Training at a hospital: what the data controller approved, on the cohort that was frozen, and nothing else."""
