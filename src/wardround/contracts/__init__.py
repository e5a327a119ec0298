"""What two sides must agree on: frozen pydantic models, without any input or output."""
