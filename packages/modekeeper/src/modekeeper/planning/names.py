"""Names of Kubernetes objects, as the API accepts them (RFC 1123)."""

import re

from modekeeper.model.decision import Target
from modekeeper.model.errors import BadInputError
from modekeeper.policy.wording import shown

__all__ = ["check_target"]

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_LONGEST_NAME = 253


def check_target(target: Target) -> Target:
    """``target`` itself, where each of its names can exist in a cluster.

    Raises:
        BadInputError: one of them cannot.
    """
    if not _LABEL.fullmatch(target.namespace):
        raise BadInputError(
            f"{shown(target.namespace)!r} is no namespace: give 1 to 63 small letters, digits and dashes"
        )
    if not _KIND.fullmatch(target.kind):
        raise BadInputError(f"{shown(target.kind)!r} is no kind of object: give one like 'Deployment'")
    labels = target.name.split(".")
    if len(target.name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadInputError(
            f"{shown(target.name)!r} is no object name: give small letters, digits, dashes and dots, at most 253"
        )
    return target
