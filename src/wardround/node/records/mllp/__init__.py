"""HL7 version 2 messages as a hospital's systems send them: MLLP."""
