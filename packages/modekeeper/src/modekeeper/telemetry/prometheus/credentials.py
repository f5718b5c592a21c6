"""Who we are to the server: from files that the environment names, never from the command line, and never shown."""

import base64
import ssl
from collections.abc import Mapping
from pathlib import Path

from modekeeper.model.errors import BadInputError

__all__ = ["CA_VARIABLE", "PASSWORD_VARIABLE", "TOKEN_VARIABLE", "USER_VARIABLE", "Credentials"]

TOKEN_VARIABLE = "MODEKEEPER_PROMETHEUS_TOKEN_FILE"  # noqa: S105 - the name of a variable
USER_VARIABLE = "MODEKEEPER_PROMETHEUS_USERNAME"
PASSWORD_VARIABLE = "MODEKEEPER_PROMETHEUS_PASSWORD_FILE"  # noqa: S105 - the name of a variable
CA_VARIABLE = "MODEKEEPER_PROMETHEUS_CA_FILE"
_LONGEST_SECRET = 65_536


class Credentials:
    """Reads the files when they are needed: a token that a service account is given changes every hour.

    Raises:
        BadInputError: the variables contradict each other.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._token_file = environment.get(TOKEN_VARIABLE)
        self._user = environment.get(USER_VARIABLE)
        self._password_file = environment.get(PASSWORD_VARIABLE)
        self._ca_file = environment.get(CA_VARIABLE)
        if self._token_file and (self._user or self._password_file):
            raise BadInputError(f"{TOKEN_VARIABLE} and {USER_VARIABLE} contradict each other. Set one of the two.")
        if bool(self._user) != bool(self._password_file):
            raise BadInputError(f"{USER_VARIABLE} and {PASSWORD_VARIABLE} go together. Set both, or none.")
        if self._user and (":" in self._user or not self._user.isprintable()):
            raise BadInputError(f"{USER_VARIABLE} is no user name: it has a colon or a control character.")

    def __repr__(self) -> str:
        return f"Credentials({self.kind})"

    @property
    def kind(self) -> str:
        """What is used, for a person: ``token``, ``password`` or ``none``."""
        if self._token_file:
            return "token"
        return "password" if self._user else "none"

    def headers(self) -> dict[str, str]:
        """The header that says who we are, if any.

        Raises:
            BadInputError: a file cannot be read, or holds no secret.
        """
        if self._token_file:
            return {"Authorization": f"Bearer {_token(TOKEN_VARIABLE, self._token_file)}"}
        if self._user and self._password_file:
            password = _secret(PASSWORD_VARIABLE, self._password_file)
            both = base64.b64encode(f"{self._user}:{password}".encode()).decode("ascii")
            return {"Authorization": f"Basic {both}"}
        return {}

    def trusted(self) -> ssl.SSLContext | bool:
        """The authorities that may vouch for the server; ``True`` for those the machine trusts.

        Raises:
            BadInputError: the file holds no certificates.
        """
        if not self._ca_file:
            return True
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except (OSError, ValueError) as error:
            reason = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError) else _reason(error)
            raise BadInputError(
                f"{CA_VARIABLE} names '{self._ca_file}', which cannot be used: {reason}. Name a PEM file, or unset it."
            ) from error


def _token(variable: str, path: str) -> str:
    token = _secret(variable, path)
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise BadInputError(f"the file that {variable} names holds no token: it has other characters than a token has.")
    return token


def _secret(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_LONGEST_SECRET + 1)
        text = data.decode("utf-8").strip("\r\n")
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"{variable} names '{path}', which cannot be read: {_reason(error)}. Name a file with the secret."
        ) from error
    if not text or len(data) > _LONGEST_SECRET or not text.isprintable():
        raise BadInputError(f"{variable} names '{path}', which holds no secret: it is empty, too long, or no one line.")
    return text


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    return (getattr(error, "strerror", None) or str(error)).lower()
