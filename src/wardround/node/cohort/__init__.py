"""Cohort questions at the node: what is asked, who is meant, and what of the answer is told."""
