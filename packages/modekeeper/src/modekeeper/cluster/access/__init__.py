"""How the way to a cluster and the credentials for it are found."""

__all__: list[str] = []
