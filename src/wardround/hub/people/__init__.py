"""The hub's own people: researchers and the federation's operators."""
