"""PROGRAM: the coordinator. It sees counts, updates and evidence, never an image."""
