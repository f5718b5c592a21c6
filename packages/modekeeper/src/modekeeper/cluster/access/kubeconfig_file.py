"""One kubeconfig file, as it is written (client-go, ``clientcmd/api/v1``). Its secrets never show in a repr."""

import os
from pathlib import Path
from typing import Any

import msgspec

from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import ClusterConfigError

__all__ = [
    "ClusterEntry",
    "ContextEntry",
    "ExecEntry",
    "ExecVariable",
    "KubeconfigFile",
    "NamedCluster",
    "NamedContext",
    "NamedUser",
    "UserEntry",
    "read_kubeconfig",
]

_MAX_BYTES = 16 * 2**20


class _Entry(msgspec.Struct, frozen=True, rename="kebab"):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class ClusterEntry(_Entry, frozen=True, rename="kebab"):
    """``clusters[].cluster``."""

    server: str | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None


class ExecVariable(_Entry, frozen=True):
    """``exec.env[]``."""

    name: str
    value: str = ""


class ExecEntry(_Entry, frozen=True, rename="camel"):
    """``users[].user.exec``: a program that prints credentials."""

    command: str
    api_version: str | None = None
    args: tuple[str, ...] | None = None
    env: tuple[ExecVariable, ...] | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class UserEntry(_Entry, frozen=True, rename="kebab"):
    """``users[].user``."""

    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    username: str | None = None
    password: str | None = None
    exec: ExecEntry | None = None
    auth_provider: dict[str, Any] | None = None
    as_user: str | None = msgspec.field(default=None, name="as")
    as_uid: str | None = None
    as_groups: tuple[str, ...] | None = None
    as_user_extra: dict[str, tuple[str, ...]] | None = None


class ContextEntry(_Entry, frozen=True, rename="kebab"):
    """``contexts[].context``."""

    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class NamedCluster(_Entry, frozen=True):
    """``clusters[]``."""

    name: str
    cluster: ClusterEntry | None = None


class NamedUser(_Entry, frozen=True):
    """``users[]``."""

    name: str
    user: UserEntry | None = None


class NamedContext(_Entry, frozen=True):
    """``contexts[]``."""

    name: str
    context: ContextEntry | None = None


class KubeconfigFile(_Entry, frozen=True, rename="kebab"):
    """A whole file; what is not known here is passed over, as kubectl does."""

    current_context: str | None = None
    clusters: tuple[NamedCluster, ...] | None = None
    users: tuple[NamedUser, ...] | None = None
    contexts: tuple[NamedContext, ...] | None = None


def read_kubeconfig(path: Path) -> KubeconfigFile | None:
    """The kubeconfig at ``path``; ``None`` where there is no such file.

    Raises:
        ClusterConfigError: it cannot be read, or is no kubeconfig. No value of the file is in the message.
    """
    data = _bytes(path)
    if data is None:
        return None
    found = _document(path, data)
    if found is None:
        return KubeconfigFile()
    if not isinstance(found, dict):
        raise ClusterConfigError(f"{_shown(path)} is no kubeconfig: it holds no mapping. Name another file.")
    try:
        return msgspec.convert(found, KubeconfigFile)
    except (msgspec.ValidationError, RecursionError) as error:
        what = shown(str(error), 200)
        raise ClusterConfigError(
            f"{_shown(path)} is no usable kubeconfig: {what}. Correct it; a text that looks like a number needs quotes."
        ) from None


def _bytes(path: Path) -> bytes | None:
    try:
        # Not to wait for a writer where the name is that of a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
            data = file.read(_MAX_BYTES + 1) or b""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise ClusterConfigError(f"The kubeconfig {_shown(path)} cannot be read: {why}. Name another file.") from None
    if len(data) > _MAX_BYTES:
        raise ClusterConfigError(f"{_shown(path)} is larger than 16 MiB: it is no kubeconfig. Name another file.")
    return data


def _document(path: Path, data: bytes) -> Any:
    import yaml  # noqa: PLC0415 - only where a kubeconfig is read

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = data.decode("utf-8-sig")
        return yaml.load(text, Loader=loader)  # noqa: S506 - both are safe loaders
    except UnicodeDecodeError:
        raise ClusterConfigError(f"{_shown(path)} is no kubeconfig: it is no UTF-8 text. Name another file.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # The error's own text may quote the line, and a token with it.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise ClusterConfigError(f"{_shown(path)} is no YAML{where}. Correct it, or name another file.") from None


def _shown(path: Path) -> str:
    return shown(str(path), 200)
