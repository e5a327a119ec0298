"""The budget of what projects may tell of any one patient of this hospital."""
