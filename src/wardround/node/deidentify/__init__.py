"""From quarantine to the enclave: what was received becomes de-identified, and who was who goes into the vault."""
