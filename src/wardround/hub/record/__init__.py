"""The federation's ledger as the hub keeps it: entries in, checkpoints out, cosignatures collected."""
