"""The node's loop with the hub: takes tasks, hands in reports."""
