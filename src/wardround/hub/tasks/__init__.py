"""What the hub asks of each site: a queue of numbered tasks."""
