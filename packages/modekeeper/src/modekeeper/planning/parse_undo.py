"""A rollback plan from outside: hostile until every byte of it is accounted for."""

import msgspec

from modekeeper.artifacts.canonical import canonical_digest
from modekeeper.model.decision import CurrentValueSource, Target
from modekeeper.model.errors import BadInputError
from modekeeper.planning.names import check_target
from modekeeper.planning.parse import LONGEST_PLAN_BYTES
from modekeeper.planning.plan import KNOB_ANNOTATION
from modekeeper.planning.undo import UNKNOWN_SOURCE, PreviousValue, RollbackItem, RollbackPlan, undo_patches
from modekeeper.policy.knobs import find_knob
from modekeeper.policy.strict_json import read_strict
from modekeeper.policy.wording import shown

__all__ = ["parse_rollback_plan"]

_LONGEST_VALUE = 4096
_SOURCES = frozenset({UNKNOWN_SOURCE, *(source.value for source in CurrentValueSource)})


class _StrictValue(PreviousValue, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _StrictItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: str
    namespace: str
    name: str
    actuation: str
    keys: dict[str, _StrictValue]


class _StrictRollback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema_version: str
    digest: str
    plan_digest: str
    items: tuple[_StrictItem, ...]


def parse_rollback_plan(data: bytes) -> RollbackPlan:
    """The rollback plan in ``data``, sure to touch nothing but the annotations of knobs.

    What they held before may be any text: somebody may have written there by hand, and gets back the same bytes.

    Raises:
        BadInputError: it is not such a plan, or not the one its digest was made from; one line.
    """
    found, faults = read_strict(data, longest=LONGEST_PLAN_BYTES)
    if faults:
        raise BadInputError(f"the rollback plan cannot be read: {faults[0].path}: {faults[0].message}")
    try:
        msgspec.convert(found, _StrictRollback, strict=True)
        plan = msgspec.convert(found, RollbackPlan, strict=True)
    except msgspec.ValidationError as error:
        raise BadInputError(f"the rollback plan has the wrong shape: {shown(str(error), 160)}") from None
    for number, item in enumerate(plan.items):
        _check_item(number, item)
    keys = [(item.namespace, item.kind, item.name, item.actuation) for item in plan.items]
    if keys != sorted(set(keys)):
        raise BadInputError("the items of the rollback plan are repeated or out of order")
    if plan.digest != canonical_digest({key: value for key, value in found.items() if key != "digest"}):
        raise BadInputError("the rollback plan is not the one its digest was made from: it was changed")
    return plan


def _check_item(number: int, item: RollbackItem) -> None:
    check_target(Target(namespace=item.namespace, kind=item.kind, name=item.name))
    if not item.keys:
        raise BadInputError(f"item {number} of the rollback plan takes nothing back")
    for key, previous in item.keys.items():
        name = key.removeprefix(KNOB_ANNOTATION)
        if not key.startswith(KNOB_ANNOTATION) or not _is_known(name, previous):
            raise BadInputError(
                f"item {number} of the rollback plan sets {shown(key)!r} to {shown(previous.value or '')!r}, which no"
                " plan of this release leads back to"
            )
    try:
        undo_patches(item)
    except BadInputError as error:
        raise BadInputError(f"item {number} of the rollback plan cannot be made: {error}") from None


def _is_known(name: str, previous: PreviousValue) -> bool:
    knob = find_knob(name)
    return (
        knob is not None
        and knob.name == name
        and previous.source in _SOURCES
        and len(previous.value or "") <= _LONGEST_VALUE
    )
