"""Projects at the node: what is asked, what the data controller decided, and the cohort frozen by it."""
