"""Where work runs. Here: a warm process on this machine."""
