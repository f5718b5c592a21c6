"""Which context, cluster and user are meant: the merge rules of kubectl.

Source: Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files". The file named by an option is
used alone and must exist. Else the files of ``KUBECONFIG`` are merged: those that are missing are passed over, the
first to name a cluster, a user, a context or the current context has its whole entry used. Else ``~/.kube/config``.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from modekeeper.cluster.access.kubeconfig_file import (
    ClusterEntry,
    ContextEntry,
    KubeconfigFile,
    UserEntry,
    read_kubeconfig,
)
from modekeeper.cluster.answers import shown
from modekeeper.model.cluster import ClusterConfigError

__all__ = ["Chosen", "choose", "kubeconfig_files"]

_NAME_LIMIT = 100
_NAMES_SHOWN = 8

_Entry = TypeVar("_Entry")


class Chosen(NamedTuple):
    """The entries of one context, each with the file it stands in."""

    name: str
    context_file: Path
    namespace: str | None
    cluster: ClusterEntry
    cluster_file: Path
    user_name: str | None
    user: UserEntry
    user_file: Path


def kubeconfig_files(environment: Mapping[str, str], kubeconfig: Path | None) -> tuple[Path, ...]:
    """The files that are looked at, those that do not exist among them."""
    if kubeconfig is not None:
        return (kubeconfig,)
    named = environment.get("KUBECONFIG", "")
    if named:
        # The same name twice is one file.
        return tuple(dict.fromkeys(Path(part).absolute() for part in named.split(os.pathsep) if part))
    home = environment.get("HOME")
    return (Path(home) / ".kube" / "config",) if home else ()


def choose(environment: Mapping[str, str], kubeconfig: Path | None, context: str | None) -> Chosen | None:
    """The context of that name, by default the current one; ``None`` where there is no kubeconfig at all.

    Raises:
        ClusterConfigError: a file is unusable, or the context is not whole.
    """
    paths = kubeconfig_files(environment, kubeconfig)
    files = {path: found for path in paths if (found := read_kubeconfig(path)) is not None}
    if not files:
        if kubeconfig is not None:
            raise ClusterConfigError(f"There is no kubeconfig {_path(kubeconfig)}. Name one that exists.")
        return None
    contexts = _first(files, lambda file: ((each.name, each.context) for each in file.contexts or ()))
    name = context or next((file.current_context for file in files.values() if file.current_context), None)
    where = _files(files)
    if not name:
        raise ClusterConfigError(f"{where} names no current context. Name one with --context: {_names(contexts)}.")
    if name not in contexts:
        verb = "has" if context else "names as its current context one it has not:"
        advice = "Name another one with --context" if context else "Name one with --context"
        raise ClusterConfigError(
            f"{where} {verb} {'no context ' if context else ''}{_quoted(name)}.{_near(name, contexts)}"
            f" {advice}: {_names(contexts)}."
        )
    context_file, entry = contexts[name]
    return _whole(files, name, context_file, entry or ContextEntry())


def _whole(files: Mapping[Path, KubeconfigFile], name: str, path: Path, context: ContextEntry) -> Chosen:
    clusters = _first(files, lambda file: ((each.name, each.cluster) for each in file.clusters or ()))
    users = _first(files, lambda file: ((each.name, each.user) for each in file.users or ()))
    if not context.cluster:
        raise ClusterConfigError(f"The context {_quoted(name)} of {_path(path)} names no cluster. Add it there.")
    cluster_file, cluster = _entry("cluster", context.cluster, clusters, name, path)
    if context.user:
        user_file, user = _entry("user", context.user, users, name, path)
    else:
        user_file, user = path, UserEntry()
    return Chosen(
        name=name,
        context_file=path,
        namespace=context.namespace or None,
        cluster=cluster or ClusterEntry(),
        cluster_file=cluster_file,
        user_name=context.user or None,
        user=user or UserEntry(),
        user_file=user_file,
    )


def _entry(
    what: str, wanted: str, entries: Mapping[str, tuple[Path, _Entry | None]], context: str, path: Path
) -> tuple[Path, _Entry | None]:
    if wanted not in entries:
        raise ClusterConfigError(
            f"The context {_quoted(context)} of {_path(path)} names the {what} {_quoted(wanted)}, which is not there."
            f"{_near(wanted, entries)} Correct the context, or name another one with --context."
        )
    return entries[wanted]


def _first(
    files: Mapping[Path, KubeconfigFile], entries: Callable[[KubeconfigFile], Iterable[tuple[str, _Entry | None]]]
) -> dict[str, tuple[Path, _Entry | None]]:
    found: dict[str, tuple[Path, _Entry | None]] = {}
    for path, file in files.items():
        for name, entry in entries(file):
            found.setdefault(name, (path, entry))
    return found


def _near(name: str, known: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - only where somebody mistyped

    near = difflib.get_close_matches(name[:_NAME_LIMIT], list(known), n=1, cutoff=0.6)
    return f" Did you mean {_quoted(near[0])}?" if near else ""


def _names(known: Iterable[str]) -> str:
    names = sorted(known)
    if not names:
        return "there is none, so name another file with --kubeconfig"
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(shown(name, _NAME_LIMIT) for name in names[:_NAMES_SHOWN]) + more


def _files(files: Iterable[Path]) -> str:
    return "The kubeconfig " + ", ".join(_path(path) for path in files)


def _path(path: Path) -> str:
    return shown(str(path), 200)


def _quoted(name: str) -> str:
    return f'"{shown(name, _NAME_LIMIT)}"'
