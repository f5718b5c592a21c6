"""The chords, one a file. Each is pure: a situation, its envelope and the limits give one proposal."""
