"""What the door asks of a writer. There are two methods, and no switch between them."""

from typing import Protocol

from modekeeper.model.cluster import DryRunAnswer, JsonObject
from modekeeper_pro.door.change import Change

__all__ = ["Writer"]


class Writer(Protocol):
    """A way to an API server. Both calls send the same patch, as one field manager, never forced.

    Both raise one of these, and nothing else:

        ClusterConfigError: the way to the cluster cannot be told; nothing was sent.
        ClusterUnreachableError: no answer. After ``write`` nobody knows whether the change was made.
        ClusterAnswerError: the API said no. After a status of 500 and more the change may have been made all the same.
    """

    def dry_run(self, change: Change) -> DryRunAnswer:
        """What the change would make of the object. Nothing is stored."""
        ...

    def write(self, change: Change) -> JsonObject:
        """Make the change, once: never sent again by the writer itself. The object as it is stored now."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
