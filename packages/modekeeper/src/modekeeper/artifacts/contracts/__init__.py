"""The contract of every artifact, as types. The published JSON Schemas are made from these."""
