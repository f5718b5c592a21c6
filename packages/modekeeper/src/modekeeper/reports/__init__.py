"""Recorded data to words and pictures: projections, never a second computation."""
