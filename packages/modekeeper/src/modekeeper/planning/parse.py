"""A plan from outside: hostile until every byte of it is accounted for."""

import re

import msgspec

from modekeeper.model.decision import PassportRef, Plan, PlanItem, Target
from modekeeper.model.errors import BadInputError
from modekeeper.planning.names import check_target
from modekeeper.planning.plan import PLAN_SCHEMA, knob_annotations, patches, verify_digest
from modekeeper.policy.knobs import find_knob, format_value
from modekeeper.policy.strict_json import read_strict
from modekeeper.policy.wording import shown

__all__ = ["LONGEST_PLAN_BYTES", "parse_plan"]

LONGEST_PLAN_BYTES = 1024 * 1024
_AGAIN = "make the plan again with 'mk plan'"
_PASSPORT_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHORD_IDS = re.compile(r"[A-Z][A-Z0-9-]{1,63}(,[A-Z][A-Z0-9-]{1,63}){0,15}")


class _StrictItem(PlanItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _StrictPassport(PassportRef, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _StrictPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    schema_version: str
    digest: str
    items: tuple[_StrictItem, ...]
    passport: _StrictPassport | msgspec.UnsetType = msgspec.UNSET


def parse_plan(data: bytes) -> Plan:
    """The plan in ``data``, sure to hold nothing but knob annotations within the registry's bounds.

    Raises:
        BadInputError: it is not such a plan, or not the one its digest was made from; one line.
    """
    document, faults = read_strict(data, longest=LONGEST_PLAN_BYTES)
    if faults:
        raise BadInputError(f"the plan cannot be read: {faults[0].path}: {faults[0].message}; {_AGAIN}")
    try:
        strict = msgspec.convert(document, _StrictPlan, strict=True)
    except msgspec.ValidationError as error:
        raise BadInputError(f"the plan has the wrong shape: {shown(str(error), 160)}; {_AGAIN}") from None
    if strict.schema_version != PLAN_SCHEMA:
        found = shown(strict.schema_version)
        raise BadInputError(f"the plan has the schema {found!r}, this release reads {PLAN_SCHEMA!r}; {_AGAIN}")
    items = tuple(PlanItem(**msgspec.structs.asdict(item)) for item in strict.items)
    for number, item in enumerate(items):
        _check_item(number, item)
    plan = Plan(
        schema_version=strict.schema_version, digest=strict.digest, items=items, passport=_passport(strict.passport)
    )
    _check_whole(plan)
    return plan


def _passport(named: _StrictPassport | msgspec.UnsetType) -> PassportRef | None:
    if isinstance(named, msgspec.UnsetType):
        return None
    if not (_PASSPORT_NAME.fullmatch(named.name) and _DIGEST.fullmatch(named.digest)):
        raise BadInputError(f"the plan names no passport: {shown(named.name)!r}, {shown(named.digest, 80)!r}; {_AGAIN}")
    return PassportRef(name=named.name, digest=named.digest)


def _check_item(number: int, item: PlanItem) -> None:
    check_target(Target(namespace=item.namespace, kind=item.kind, name=item.name))
    if not _CHORD_IDS.fullmatch(item.chord_id):
        raise BadInputError(f"item {number} of the plan names no chord: {shown(item.chord_id)!r}; {_AGAIN}")
    if not item.knobs:
        raise BadInputError(f"item {number} of the plan sets no knob; {_AGAIN}")
    for name, text in item.knobs.items():
        if not _is_value(name, text):
            raise BadInputError(
                f"item {number} of the plan sets {shown(name)!r} to {shown(text)!r}, which is no value of a knob"
                f" of this release; {_AGAIN}"
            )
    try:
        made = patches(item.kind, item.actuation, knob_annotations(item.knobs))
    except BadInputError as error:
        raise BadInputError(f"item {number} of the plan cannot be made: {error}") from None
    if (item.patch, item.pod_patch) != made:
        raise BadInputError(f"item {number} of the plan patches more or less than its knobs; {_AGAIN}")


def _is_value(name: str, text: str) -> bool:
    knob = find_knob(name)
    if knob is None or knob.name != name or not re.fullmatch(r"[0-9]{1,16}(\.[0-9]{1,16})?", text):
        return False
    try:
        return format_value(knob, float(text)) == text
    except ValueError:
        return False


def _check_whole(plan: Plan) -> None:
    keys = [(item.namespace, item.kind, item.name, item.actuation) for item in plan.items]
    if keys != sorted(set(keys)):
        raise BadInputError(f"the items of the plan are repeated or out of order; {_AGAIN}")
    if not verify_digest(plan):
        raise BadInputError(f"the plan is not the one its digest was made from: it was changed; {_AGAIN}")
