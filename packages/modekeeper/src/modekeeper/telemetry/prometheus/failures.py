"""What an answer that is none means to a person, and whether asking again may help."""

from typing import NamedTuple

from modekeeper.model.errors import BadInputError, FailedError
from modekeeper.telemetry.prometheus.answer import error_of
from modekeeper.telemetry.prometheus.credentials import CA_VARIABLE, TOKEN_VARIABLE
from modekeeper.telemetry.prometheus.transport import MOST_BYTES, Lost, Reply

__all__ = ["Asked", "TooMuchError", "failure", "may_pass"]

_TOO_MANY_REQUESTS, _SERVER_ERROR = 429, 500
_TOO_MUCH = "too many samples"
"""How a server says that a question would take more memory than it may (``--query.max-samples``)."""
_REFUSALS = {
    400: ("cannot evaluate {metric}", "Correct the expression, or the metric's name"),
    401: ("does not know us", f"Set {TOKEN_VARIABLE} to a file with a token that it accepts"),
    403: ("does not let us ask", f"Set {TOKEN_VARIABLE} to a file with a token that may query"),
    404: ("has no Prometheus API there", "Give the address with the path in front of /api/v1"),
    405: ("has no Prometheus API there", "Give the address with the path in front of /api/v1"),
    422: ("cannot evaluate {metric}", "Correct the expression, or the metric's name"),
}
"""Answers that will be the same the next time: what they mean, and what to do."""


class Asked(NamedTuple):
    """What was asked, for a person."""

    url: str
    metric: str
    timeout_s: float


class TooMuchError(FailedError):
    """The answer for a window is too long, for us or for the server: fewer points may do."""


def may_pass(found: Reply | Lost) -> bool:
    """Whether the same question may get an answer a little later.

    One that ran into its deadline will not: asked again, it only gives the server more to do.
    """
    if isinstance(found, Lost):
        return found.how == "connection"
    if not found.whole or found.moved_to:
        return False
    return found.status == _TOO_MANY_REQUESTS or found.status >= _SERVER_ERROR


def failure(found: Reply | Lost, asked: Asked) -> BadInputError | FailedError:
    """The error of a question that got no answer."""
    if isinstance(found, Lost):
        return _no_answer(found, asked)
    where = f"Prometheus at {asked.url}"
    if not found.whole:
        return TooMuchError(
            f"{where} answers with more than {MOST_BYTES >> 20} MiB for one point of {asked.metric}. "
            "Ask for fewer pods."
        )
    if found.moved_to:
        return BadInputError(
            f"{where} redirects to {found.moved_to}, and that is not followed. Give the address it really has; "
            f"if that is a log-in page, set {TOKEN_VARIABLE}."
        )
    said = error_of(found.body)
    because = f" (HTTP {found.status}{f': {said}' if said else ''})"
    if said and _TOO_MUCH in said:
        return TooMuchError(
            f"{where} will not load so much for one point of {asked.metric}{because}. Ask for fewer pods."
        )
    if found.status in _REFUSALS:
        what, advice = _REFUSALS[found.status]
        return BadInputError(f"{where} {what.format(metric=asked.metric)}{because}. {advice}.")
    return FailedError(f"{where} does not answer{because}. Try again later, or look at its log.")


def _no_answer(lost: Lost, asked: Asked) -> BadInputError | FailedError:
    reason = lost.reason or "the connection broke off"
    if lost.how == "deadline":
        return FailedError(
            f"Prometheus at {asked.url} did not answer within {asked.timeout_s:g} s. "
            "Give it more time, or ask for a shorter window."
        )
    if lost.how == "certificate":
        return BadInputError(
            f"the certificate of Prometheus at {asked.url} is not trusted: {reason}. "
            f"Set {CA_VARIABLE} to a file with the authority that vouches for it."
        )
    return FailedError(f"cannot reach Prometheus at {asked.url}: {reason}. Check the address and the network.")
