"""The hospital's front door: what arrives is on disk before it is acknowledged, and its state is known."""
