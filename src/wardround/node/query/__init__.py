"""Query/retrieve out of the enclave, for viewers at this hospital that speak DIMSE."""
