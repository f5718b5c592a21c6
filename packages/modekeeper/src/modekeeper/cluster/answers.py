"""The API's no, as an error a person can act on."""

from http import HTTPStatus
from typing import Any

from modekeeper.model.cluster import ClusterAnswerError
from modekeeper.model.untrusted import visible, visible_ends

__all__ = ["answer_error", "bad_request", "shown", "status_error"]

_DETAIL_LIMIT = 500
_REASON_LIMIT = 60

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
"""What ``reason`` says where the answer was no Status object (apimachinery, ``metav1.StatusReason``)."""

_ADVICE = {
    401: "Log in again, or name another user with --context.",
    403: "Ask for that right, or name another user with --context.",
    410: "List again.",
    429: "The API server is busy: try again later.",
}
_ADVICE_OF_SERVER = "Try again; if it stays so, look at the API server's log."
_FIRST_SERVER_ERROR = 500
_NO_SUCH_PATH = "the server could not find the requested resource"
"""As client-go says it of a path that the API server does not serve, for which that sends no Status."""


def shown(text: Any, limit: int = _DETAIL_LIMIT) -> str:
    """Text of the cluster, or whatever came in its place: escaped, one line, cut."""
    return visible(text if isinstance(text, str) else "", limit)


def answer_error(asked: str, status: int, reason: str = "", detail: str = "") -> ClusterAnswerError:
    """What the API said when it said no.

    Args:
        asked: what was asked, for a person: ``get deployments.apps "trainer" in namespace "research"``.
        status: the HTTP status.
        reason: of the Status object; empty where there was none.
        detail: its message, not escaped yet. A long one loses its middle: a 422 names the whole object first, and
            what is wrong with it last.
    """
    reason = shown(reason, _REASON_LIMIT) or _REASONS.get(status) or _phrase(status)
    detail = visible_ends(detail, _DETAIL_LIMIT)
    advice = _ADVICE.get(status) or (_ADVICE_OF_SERVER if status >= _FIRST_SERVER_ERROR else "")
    said = f"{status} {reason}" + (f": {detail}" if detail else "")
    end = "" if said.endswith((".", "…", "!", "?")) else "."
    message = f"The API server would not {asked}: {said}{end} {advice}".rstrip()
    return ClusterAnswerError(message, status=status, reason=reason, detail=detail)


def status_error(asked: str, status: int, body: Any) -> ClusterAnswerError:
    """The same from the answer's body: a Status object (``metav1.Status``), or anything else."""
    if isinstance(body, dict) and body.get("kind") == "Status":
        code = body.get("code")
        known = code if isinstance(code, int) and not isinstance(code, bool) and 400 <= code <= 599 else status  # noqa: PLR2004
        return answer_error(asked, known, shown(body.get("reason")), _text(body.get("message")))
    if status == HTTPStatus.NOT_FOUND:
        return answer_error(asked, status, "NotFound", _NO_SUCH_PATH)
    return answer_error(asked, status, detail=_text(body))


def bad_request(asked: str, detail: str) -> ClusterAnswerError:
    """400, as the API says it."""
    return answer_error(asked, HTTPStatus.BAD_REQUEST, "BadRequest", detail)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase.replace(" ", "")
    except ValueError:
        return "Unknown"
