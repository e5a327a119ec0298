"""Sites of the federation: invited, joined, renewed, revoked."""
