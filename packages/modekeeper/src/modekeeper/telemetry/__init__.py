"""From files, pipes and seeded scenarios to samples in order, with an account of every record on the way."""

__all__: list[str] = []
