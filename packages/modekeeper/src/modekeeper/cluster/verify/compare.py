"""What a dry run made of an object, against what was asked for."""

import re
from collections.abc import Iterator
from typing import Any

from modekeeper.artifacts.contracts.k8s_verify import DryRunPart, DryRunStatus
from modekeeper.cluster.merge_patch import merged
from modekeeper.cluster.rbac import is_rbac_denial
from modekeeper.cluster.verify.asking import Told
from modekeeper.cluster.verify.facts import DryRun
from modekeeper.model.cluster import ClusterAnswerError, JsonObject
from modekeeper.model.json_fields import at, mapping_at, said
from modekeeper.model.untrusted import visible, visible_ends

__all__ = ["annotations_place", "dry_run_part", "live_values", "wanted_values"]

_COMPARED = (("metadata", "annotations"), ("metadata", "labels"), ("metadata", "finalizers"), ("spec",))
"""What admission may change on the way; the rest of the metadata is the API server's own, the status nobody's."""
_MOST_PATHS = 10
_LONGEST_PATH = 160
_VALUE = r'(Invalid value)s?: "?(?:[\w.*&\[\]]*)\{'
_WHOLE_VALUE = re.compile(_VALUE + r'.*?\}"?(: )')
_CUT_VALUE = re.compile(_VALUE + r".*?(?: … |$)")
_NO_DRY_RUN = "does not support dry run"
"""``NewDryRunUnsupportedErr`` of k8s.io/apiserver (admission/plugin/webhook/errors)."""


def annotations_place(patch: JsonObject) -> tuple[str, ...]:
    """Where the patch writes annotations: those of the object, or those of the template inside it."""
    place: tuple[str, ...] = ()
    inner: Any = patch
    while isinstance(inner, dict) and inner and "annotations" not in inner:
        step = next(iter(inner))
        place, inner = (*place, step), inner[step]
    return (*place, "annotations")


def wanted_values(patch: JsonObject) -> dict[str, str]:
    """Annotation key to the value the patch sets."""
    wanted = mapping_at(patch, *annotations_place(patch))
    return {key: wanted[key] for key in sorted(wanted) if isinstance(wanted[key], str)}


def live_values(patch: JsonObject, found: JsonObject | None) -> dict[str, str | None]:
    """The same keys, with what the object holds now."""
    holds = mapping_at(found, *annotations_place(patch))
    return {key: holds[key] if isinstance(holds.get(key), str) else None for key in wanted_values(patch)}


def dry_run_part(patch: JsonObject, told: Told[DryRun] | None) -> DryRunPart:
    """The answer to a dry run, in words."""
    if told is None:
        return DryRunPart(status=DryRunStatus.NOT_ASKED)
    if told.value is None:
        return _refused(told)
    tried = told.value
    warnings = tuple(visible(text) for text in tried.after.warnings)
    rewritten = _rewritten(patch, tried.after.object)
    if rewritten:
        return DryRunPart(status=DryRunStatus.REWRITTEN, detail=rewritten, warnings=warnings)
    beside = () if tried.moved else _beside(patch, tried)
    return DryRunPart(status=DryRunStatus.ACCEPTED, warnings=warnings, also_changes=beside)


def _rewritten(patch: JsonObject, after: JsonObject) -> str:
    """Which of our values came back changed, as a sentence; empty where none did."""
    found = live_values(patch, after)
    changed = [
        f"{key} was asked to be {said(value)} and would be {'missing' if found[key] is None else said(found[key])}"
        for key, value in wanted_values(patch).items()
        if found[key] != value
    ]
    return f"admission changes what was asked for: {'; '.join(changed)}" if changed else ""


def _beside(patch: JsonObject, tried: DryRun) -> tuple[str, ...]:
    expected = merged(tried.before, patch)
    paths: list[str] = []
    for place in _COMPARED:
        paths += [
            visible(path, _LONGEST_PATH)
            for path in _differences(at(expected, *place), at(tried.after.object, *place), ".".join(place))
        ]
    more = len(paths) - _MOST_PATHS
    return (*paths[:_MOST_PATHS], f"and {more} more") if more > 0 else tuple(paths)


def _differences(expected: Any, found: Any, path: str) -> Iterator[str]:
    # An empty list, an empty object and nothing are the same to the API.
    if not expected and not found:
        return
    if isinstance(expected or {}, dict) and isinstance(found or {}, dict):
        one, other = expected or {}, found or {}
        for key in sorted(one.keys() | other.keys(), key=str):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(one, other, f"{path}[{number}]")
    elif expected != found:
        yield path


def _refused(told: Told[DryRun]) -> DryRunPart:
    error = told.error
    if not isinstance(error, ClusterAnswerError):
        return DryRunPart(status=DryRunStatus.FAILED, detail=visible_ends(str(error)))
    status, sentence = _in_words(error)
    detail = f"{sentence}: {_without_values(error.detail)}" if error.detail else sentence
    return DryRunPart(status=status, http_status=error.status, detail=visible_ends(detail))


def _without_values(detail: str) -> str:
    """Where the API server repeats a whole object, only what it says of it; its middle may have been cut out."""
    return _CUT_VALUE.sub(r"\1 … ", _WHOLE_VALUE.sub(r"\1\2", detail)).rstrip(" …")


def _in_words(error: ClusterAnswerError) -> tuple[DryRunStatus, str]:  # noqa: PLR0911 - a table with conditions
    if is_rbac_denial(error):
        return DryRunStatus.DENIED, "this identity may not patch it"
    match error.status:
        case 400 if _NO_DRY_RUN in error.detail:
            return DryRunStatus.UNVERIFIABLE, "an admission webhook has side effects and cannot be asked without them"
        case 400 | 422:
            return DryRunStatus.REJECTED, "the API server does not accept the patch"
        case 403:
            return DryRunStatus.REJECTED, "admission does not allow the patch"
        case 401:
            return DryRunStatus.FAILED, "the API server does not know us"
        case 404:
            return DryRunStatus.FAILED, "the object is gone"
        case 409:
            return DryRunStatus.FAILED, "somebody else changes the object at the same time; verify again"
        case 413:
            return DryRunStatus.REJECTED, "the object would be too large"
        case 429:
            return DryRunStatus.FAILED, "the API server is busy; verify again later"
    return DryRunStatus.FAILED, "the API server could not tell; verify again, or look at its log"
