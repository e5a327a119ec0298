"""Pulls studies from the PACS on its own account: durable jobs, at the hours and the rate that the hospital allows."""
