"""From approved changes to a plan a person can review, its script, and the way back."""
