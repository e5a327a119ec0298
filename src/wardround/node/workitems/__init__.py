"""The worklist of readings for other systems of the hospital: UPS-RS."""
