"""HL7 version 2 messages as records, and what they share with FHIR: whose identifier, which vocabulary."""
