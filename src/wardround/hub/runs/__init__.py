"""Runs at the hub: durable state machines, of which an engine's job is one leg."""
