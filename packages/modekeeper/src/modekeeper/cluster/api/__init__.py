"""The API server asked directly, over HTTP."""

__all__: list[str] = []
