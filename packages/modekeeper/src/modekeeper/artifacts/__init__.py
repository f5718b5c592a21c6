"""What is written down: canonical bytes, whole files, and the contract of every artifact."""
