"""The nouns every room hands to the next one: frozen, with units in their field names."""
