"""DICOMweb at the node: store in, and search, retrieve and render what is in the enclave."""
