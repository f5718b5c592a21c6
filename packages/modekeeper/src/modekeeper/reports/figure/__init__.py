"""The picture of a recorded run: what it shows is decided as plain data, then drawn."""
