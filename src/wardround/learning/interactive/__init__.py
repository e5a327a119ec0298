"""Outlining with a person's help: clicks, scribbles and slices that somebody drew."""
