"""The facts a gate may look at."""

from collections.abc import Mapping

import msgspec

from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.decision import Proposal, Target
from modekeeper.policy.chord_spec import Catalog
from modekeeper.policy.limits import Limits

__all__ = ["GateCase"]


class GateCase(msgspec.Struct, frozen=True, kw_only=True):
    """One proposal and everything known about it. ``None`` means not known, and that is never a pass."""

    proposal: Proposal
    catalog: Catalog
    """The catalog in force."""
    limits: Limits
    target: Target | None = None
    """The workload the change is for."""
    now_ms: int | None
    """Telemetry time, or the clock's, in Unix milliseconds; the same one as the times below."""
    planned_at_ms: tuple[int, ...] | None
    """When earlier changes by the same chord were planned or applied."""
    relocked_at_ms: tuple[int, ...] = ()
    """When RECOVER-RELOCK took changes back: for its cooldown after that, no other chord acts."""
    cooldown_s: float | None = None
    """Shortest time between two changes by one chord, where the user asked for more than the catalog does."""
    cooldown_factor: int = 1
    """So many times the cooldown: doubled whenever a change by this chord had to be taken back."""
    last_good: Mapping[str, float] = {}
    """Values the job ran with when it was last seen healthy, by knob name."""
    approve_advanced: bool = False
    """A person approved advanced and cold changes of this run."""
    approvals: frozenset[str] = frozenset()
    """Ids of chords a person approved one by one."""
    kill_switch: KillSwitch | None = None
    pro_installed: bool | None = None
    """Whether the licensed package that can change a cluster is there."""
    verify_ok: bool | None = None
    """Whether the plan was verified against the cluster; ``None``: no verification was given."""
