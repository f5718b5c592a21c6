"""The only place where a request gets its HTTP method. There are three, and none of them changes anything."""

from typing import NamedTuple, assert_never

import msgspec

from modekeeper.cluster.requests import ACCESS_REVIEW_PATH, AccessReview, DryRun, Get, Request

__all__ = ["Wired", "wired"]


class Wired(NamedTuple):
    """A request as HTTP says it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


def wired(request: Request) -> Wired:
    """``GET`` of anything; ``POST`` of a SelfSubjectAccessReview; ``PATCH`` with ``dryRun=All``."""
    match request:
        case Get():
            return Wired("GET", request.target)
        case AccessReview():
            json = (("Content-Type", "application/json"),)
            return Wired("POST", ACCESS_REVIEW_PATH, json, msgspec.json.encode(request.body))
        case DryRun():
            merge_patch = (("Content-Type", "application/merge-patch+json"),)
            return Wired("PATCH", request.target, merge_patch, msgspec.json.encode(request.patch))
        case _:
            assert_never(request)
