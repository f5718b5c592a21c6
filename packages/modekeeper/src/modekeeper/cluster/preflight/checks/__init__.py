"""The checks. Each is pure, looks at gathered facts alone, and says one thing about one subject."""
