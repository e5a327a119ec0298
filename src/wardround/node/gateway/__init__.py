"""The one door: all that leaves this node for the hub passes here and is logged."""
