"""Projects at the hub: drafts, counts, submissions and what each hospital decided."""
