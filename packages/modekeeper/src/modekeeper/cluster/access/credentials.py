"""What goes with each request to say who we are, as it changes: rotated token files, plugins."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from modekeeper.cluster.access.settings import ClusterAccess, Printed, Secret
from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import ClusterConfigError
from modekeeper.ports.clock import Clock

__all__ = ["Credentials", "Identity"]

_MAX_TOKEN_BYTES = 2**16


class Identity(NamedTuple):
    """Good for one request."""

    headers: tuple[tuple[str, str], ...]
    certificate: tuple[Secret, Secret] | None
    """PEM of the certificate and of its key; a connection is made with it."""
    printed: Printed | None

    def __repr__(self) -> str:
        return "Identity(…)"


class Credentials:
    """The identity of one login."""

    def __init__(self, access: ClusterAccess, clock: Clock, environment: Mapping[str, str]) -> None:
        login = access.login
        self._login = login
        self._certificate = (login.certificate, login.key) if login.certificate and login.key else None
        self._plugin = None
        if login.plugin is not None:
            from modekeeper.cluster.access.exec_plugin import ExecCredentials  # noqa: PLC0415 - few need it

            self._plugin = ExecCredentials(access, login.plugin, clock, environment)

    def current(self) -> Identity:
        """Who we are now. A token file is read each time: the kubelet writes it anew before the token ends.

        Raises:
            ClusterConfigError: the credentials cannot be had.
        """
        printed = None if self._plugin is None else self._plugin.current()
        certificate = self._certificate
        if printed is not None and printed.certificate is not None and printed.key is not None:
            certificate = printed.certificate, printed.key
        headers = self._login.impersonation
        authorization = self._authorization(printed)
        if authorization is not None:
            headers = (("Authorization", authorization), *headers)
        return Identity(headers, certificate, printed)

    def refused(self, identity: Identity) -> bool:
        """The server answered 401: whether asking again may help, since there may be other credentials now."""
        if self._plugin is not None and identity.printed is not None:
            return self._plugin.refuse(identity.printed)
        return self._login.token_file is not None and self.current().headers != identity.headers

    def _authorization(self, printed: Printed | None) -> str | None:
        login = self._login
        if printed is not None and printed.token is not None:
            return f"Bearer {printed.token.reveal()}"
        if login.token_file is not None:
            return f"Bearer {_token(login.token_file)}"
        if login.token is not None:
            return f"Bearer {login.token.reveal()}"
        if login.basic is not None:
            return "Basic " + base64.b64encode(login.basic.reveal().encode()).decode()
        return None


def _token(path: Path) -> str:
    where = shown(str(path), 200)
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN_BYTES).decode("ascii").strip()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ClusterConfigError(f"The token file {where} cannot be read: {why}. Correct tokenFile.") from None
    except ValueError:
        token = ""
    if not token or not token.isprintable():
        raise ClusterConfigError(f"The token file {where} holds no token. Correct tokenFile.")
    return token
