"""The versions of the vault's schema."""
