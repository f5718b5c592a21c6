"""What kubectl says on its standard error, as the errors of the port (kubectl, ``cmd/util/helpers.go``)."""

import re

from modekeeper.cluster.answers import answer_error, shown
from modekeeper.cluster.retrying import RETRIED_STATUSES, AskAgainError
from modekeeper.model.cluster import ClusterConfigError, ClusterUnreachableError

__all__ = ["failure", "unknown_fields", "warnings_of"]

_STATUSES = {
    "BadRequest": 400,
    "Unauthorized": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "NotAcceptable": 406,
    "AlreadyExists": 409,
    "Conflict": 409,
    "Gone": 410,
    "Expired": 410,
    "RequestEntityTooLarge": 413,
    "UnsupportedMediaType": 415,
    "Invalid": 422,
    "TooManyRequests": 429,
    "InternalError": 500,
    "ServiceUnavailable": 503,
    "ServerTimeout": 500,
    "Timeout": 504,
}
"""metav1.StatusReason to the status it is sent with."""

_SERVER = re.compile(r"^Error from server(?: \((?P<reason>\w+)\))?: (?P<text>.*)", re.DOTALL | re.MULTILINE)
_INVALID = re.compile(
    r"^The (?:(?P<kind>\S+) (?P<name>\"[^\"]*\") is invalid|request is invalid): (?P<text>.*)", re.DOTALL | re.MULTILINE
)
_WARNING = re.compile(r"^Warning: (.*)$", re.MULTILINE)
_UNKNOWN = re.compile(r'^(?:unknown|duplicate) field "')
_CAUSE = re.compile(r"^\s*\* ", re.MULTILINE)
_LOGIN = ("you must be logged in", "asked for the client to provide credentials", "unauthorized")
_PLUGIN = ("getting credentials:", "exec plugin", "executable", "no auth provider found")
_CONFIG = (
    "context was not found",
    "does not exist",
    "error loading config file",
    "invalid configuration",
    "unable to load root certificates",
    "unable to read client-",
    "stat ",
)


def failure(asked: str, stderr: str, group: str = "") -> Exception:
    """The error of a kubectl that ended with a failure; asking again may help where it says so.

    Args:
        asked: what was asked, for a person.
        stderr: what it wrote.
        group: API group of the object that was to be patched, which kubectl leaves out where the API server names it.
    """
    text = _WARNING.sub("", stderr).strip()
    if match := _SERVER.search(text):
        return _answer(asked, match["reason"] or "", match["text"])
    if match := _INVALID.search(text):
        return answer_error(asked, _STATUSES["Invalid"], "Invalid", _invalid(match, group))
    line = shown(text.rpartition("\n")[2].removeprefix("error: "), 300) or "it did not say why"
    small = text.lower()
    if any(word in small for word in _PLUGIN):
        return ClusterConfigError(f"kubectl could not log in: {line}. Log in at a terminal first.")
    if any(word in small for word in _LOGIN):
        return answer_error(asked, _STATUSES["Unauthorized"], "Unauthorized", line)
    if any(word in small for word in _CONFIG):
        return ClusterConfigError(f"kubectl cannot use its configuration: {line}. Correct it.")
    unanswered = ClusterUnreachableError(
        f"kubectl did not {asked}: {line.rstrip('.')}. Look at the server and the network."
    )
    return unanswered if "x509:" in small or "no such host" in small else AskAgainError(unanswered)


def warnings_of(stderr: str) -> tuple[str, ...]:
    """The API's warnings, escaped, each once."""
    return tuple(dict.fromkeys(shown(text) for text in _WARNING.findall(stderr)))


def unknown_fields(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Those that strict field validation would have refused: ``kubectl patch`` cannot ask for it."""
    return tuple(text for text in warnings if _UNKNOWN.match(text))


def _invalid(match: re.Match[str], group: str) -> str:
    """In the words of the API server (apimachinery, ``NewInvalid``), of which kubectl makes a list of its own."""
    text = match["text"]
    if text.lstrip().startswith("* "):
        text = f"[{', '.join(cause.strip() for cause in _CAUSE.split(text)[1:])}]"
    if match["kind"] is None:
        return text
    kind = f"{match['kind']}.{group}" if group else match["kind"]
    return f"{kind} {match['name']} is invalid: {text}"


def _answer(asked: str, reason: str, text: str) -> Exception:
    status = _STATUSES.get(reason, 500)
    error = answer_error(asked, status, reason, text)
    return AskAgainError(error) if status in RETRIED_STATUSES else error
