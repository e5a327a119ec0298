"""This node's place in its federation: joining, and renewing its certificate."""
