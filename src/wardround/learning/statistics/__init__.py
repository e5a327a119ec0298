"""What evidence is reckoned with: pure functions of numbers, on numpy alone, each with its source."""
