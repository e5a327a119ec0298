"""People: who they are, which role they hold, how they sign in. Hub and node each keep people of their own."""
