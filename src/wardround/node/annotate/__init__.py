"""Annotation: MONAI Label's REST API over the enclave, so that readers draw with the tools that they know."""
