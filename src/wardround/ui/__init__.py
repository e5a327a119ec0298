"""What the pages of hub and node share: one way to show a page, to sign in, to refuse. Each has a table of its own."""
