"""The typed API that nodes speak to: two listeners, one exchange."""
