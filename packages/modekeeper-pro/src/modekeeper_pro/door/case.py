"""Everything the gates of the door look at: steps 1 and 2 of docs/DOOR.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from modekeeper.artifacts.contracts.k8s_apply import LicensePart
from modekeeper.artifacts.contracts.k8s_verify import VerifyItem
from modekeeper.gates.case import GateCase
from modekeeper.gates.kill_switch import KillSwitch
from modekeeper.model.cluster import JsonObject
from modekeeper.model.decision import Plan, PlanItem, Target
from modekeeper.passports.passport import Passport
from modekeeper.policy.situation import KnownValue
from modekeeper.trust.check_approval import ApprovalVerdict
from modekeeper_pro.door.records import PlannedWrite
from modekeeper_pro.door.verification import Verification

__all__ = ["ApplyRequest", "DoorCase", "ItemCase", "WantedWrite"]


@dataclass(frozen=True, kw_only=True)
class ApplyRequest:
    """What is asked for. There is nothing in it that skips anything."""

    plan: bytes
    verification: bytes | None
    """``None``: none was given."""
    passport: bytes | None = None
    """What is allowed; ``None``: none was named, and the built-in ``safe`` counts."""
    approve_advanced: bool = False
    """A person approved advanced and cold changes of this plan."""
    approvals: frozenset[str] = frozenset()
    """Ids of chords a person approved one by one."""
    approval: bytes | None = None
    """A second person's signed approval of the plan (``approval.v1``), hostile until checked. One that is not good
    stops the plan, whatever else was said; ``None``: none was given."""
    known: Mapping[Target, Mapping[str, KnownValue]] | None = None
    """What the jobs run with where no annotation says so, by knob name: telemetry's or the operator's word."""


@dataclass(frozen=True, kw_only=True)
class WantedWrite:
    """One write an item needs, and the object as it was when it was read."""

    write: PlannedWrite
    found: JsonObject
    ours_already: bool
    """An earlier run wrote exactly this to exactly this object: nothing is left to do."""


@dataclass(frozen=True, kw_only=True)
class ItemCase:
    """One item of the plan. ``None`` means not known, and that is never a pass."""

    item: PlanItem
    gates: GateCase
    """For the gates of the public package."""
    unknown: tuple[str, ...]
    """Knobs of which nobody knows the value now."""
    verified: VerifyItem | None
    """As the verification says."""
    fresh: VerifyItem | None
    """As the door's own look says."""
    wanted: tuple[WantedWrite, ...]
    """The object first, then its live pods by name; none where they could not be read."""
    differences: tuple[str, ...]
    """What is not as it was verified."""

    @property
    def done(self) -> bool:
        """An earlier run made every write of the item."""
        return bool(self.wanted) and all(each.ours_already for each in self.wanted)


@dataclass(frozen=True, kw_only=True)
class DoorCase:
    """One plan before its gates."""

    now: datetime
    kill_switch: KillSwitch | None
    licence: LicensePart | None
    pro_installed: bool | None
    plan: Plan | None
    plan_fault: str | None
    verification: Verification | None
    verification_fault: str | None
    """Why what was given is no verification; ``None`` where nothing was given."""
    passport: Passport | None = None
    """The one in force."""
    passport_fault: str | None = None
    """Why what was given is no passport; ``None`` where it is one."""
    cluster_uid: str | None
    items: tuple[ItemCase, ...]
    approval: ApprovalVerdict | None = None
    """On what a second person signed; ``None``: nothing was given."""
