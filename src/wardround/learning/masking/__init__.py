"""Secure aggregation: masks that cancel in the sum, and what brings the sum back when hospitals drop out."""
