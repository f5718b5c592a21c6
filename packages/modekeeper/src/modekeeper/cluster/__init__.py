"""A cluster to look at: the adapters of the reader port, and what is made of their answers. Nothing changes one."""

__all__: list[str] = []
