"""The pages of the federation's people: sites, projects, runs, models, the ledger."""
