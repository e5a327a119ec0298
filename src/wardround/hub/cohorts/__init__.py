"""Cohort questions at the hub: asked of every site at once, and what each of them told."""
