"""The seams to the outside world, as Protocols."""
