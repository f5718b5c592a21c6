"""What is asked, for a person."""

from modekeeper.cluster.wording import ask_to_get
from modekeeper_pro.door.change import Change

__all__ = ["ask_to_change"]


def ask_to_change(change: Change) -> str:
    """``change the annotations of deployments.apps "trainer" in namespace "research"``."""
    return f"change the annotations of {ask_to_get(change.ref).removeprefix('get ')}"
