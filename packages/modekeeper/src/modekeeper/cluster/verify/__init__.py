"""Would the cluster accept a plan, and what would the plan do to it: facts are gathered, then judged."""

__all__: list[str] = []
