"""A real cluster, asked and never changed: adapters of the reader port, and what is made of their answers."""
