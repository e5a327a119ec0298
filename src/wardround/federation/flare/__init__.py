"""NVIDIA FLARE behind :class:`wardround.federation.engine.FederationEngine`."""
