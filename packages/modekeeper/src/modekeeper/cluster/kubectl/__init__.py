"""The API server asked through kubectl, which brings every way to log in that it knows."""

__all__: list[str] = []
