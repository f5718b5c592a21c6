"""Licence bytes to entitlements: strict documents, canonical payloads, keyrings, the trust chain. No network."""
