"""What the door is given from outside. All of it can be replaced by a test, and nothing in it is a permission."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from modekeeper.artifacts.contracts.k8s_apply import LicensePart
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.policy.catalog import load_default
from modekeeper.policy.chord_spec import Catalog
from modekeeper.policy.limits import Limits
from modekeeper.ports.clock import Clock
from modekeeper.ports.cluster import ClusterReader
from modekeeper.trust.faults import KeyringError, TrustError
from modekeeper.trust.keyring import Keyring
from modekeeper_pro.door.writer import Writer

__all__ = ["NO_APPROVERS", "DoorPorts", "Files", "Licence", "Switches"]

NO_APPROVERS = KeyringError("approvers_not_given", "who may approve is not told")
"""No approval counts."""


class Licence(Protocol):
    """Says what the licence allows. It is asked once for each apply, and never for a rollback."""

    def check(self, cluster_uid: str | None) -> LicensePart:
        """The verdict on this cluster, the right to apply included. ``None``: which cluster this is is not known."""
        ...


class Switches(Protocol):
    """The kill-switches. What breaks in here counts as active."""

    def look(self, namespaces: tuple[str, ...]) -> KillSwitch:
        """Look at all of them now: the variable, the file, and the ConfigMap of each namespace."""
        ...


class Files(Protocol):
    """The folder of the artifacts; ``FolderStore`` is one."""

    @property
    def root(self) -> Path:
        """The folder."""
        ...

    def write_bytes(self, name: str, data: bytes) -> Path:
        """Write one file, whole or not at all."""
        ...

    def read_bytes(self, name: str) -> bytes | None:
        """The bytes of one file, ``None`` where there is none."""
        ...


@dataclass(frozen=True, kw_only=True)
class DoorPorts:
    """All of them together."""

    reader: ClusterReader
    writer: Writer
    licence: Licence
    switches: Switches
    clock: Clock
    files: Files
    approvers: Keyring | TrustError = NO_APPROVERS
    """Whose signed approvals count, or why that cannot be told."""
    catalog: Catalog = field(default_factory=load_default)
    limits: Limits = field(default_factory=Limits)
