"""PROGRAM: one hospital."""
