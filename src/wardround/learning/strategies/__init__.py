"""What the hub makes of a round's average: one small module for each family of algorithms."""
