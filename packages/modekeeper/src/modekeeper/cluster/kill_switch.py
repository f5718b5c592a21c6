"""Looks at every signal of the kill-switch: the environment, a file, a ConfigMap. Unreadable means active."""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from modekeeper.gates.kill_switch import (
    KILL_SWITCH_CONFIG_MAP,
    NOT_ACTIVE,
    KillSwitch,
    config_map_signal,
    file_signal,
    read_kill_switch,
    said_by_config_map,
    said_by_file,
    unreadable,
)
from modekeeper.model.cluster import ClusterAnswerError, ClusterContext, ObjectRef, Resource
from modekeeper.policy.wording import shown
from modekeeper.ports.cluster import ClusterReader

__all__ = ["CONFIG_MAPS", "KillSwitchSignals", "look_at_config_map", "look_at_file", "switch_namespaces"]

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
_NOT_FOUND = 404
_READ_BYTES = 4096
_LONGEST_WHY = 200


class KillSwitchSignals(msgspec.Struct, frozen=True, kw_only=True):
    """Where to look. Nothing is kept between two looks: each asks all of them again."""

    environment: Mapping[str, str]
    file: str | None = None
    """``--kill-switch-file``."""
    reader: ClusterReader | None = None
    """``None``: no cluster is asked."""
    namespaces: tuple[str, ...] = ()
    """See :func:`switch_namespaces`."""

    def look(self) -> KillSwitch:
        """The first signal that is active, in this order: environment, file, ConfigMaps. Never raises.

        A ConfigMap takes its time to be read: what is on this machine is looked at after that once more.
        """
        switch = self._here()
        asked = False
        for namespace in self.namespaces if self.reader is not None else ():
            if switch.active or self.reader is None:
                break
            switch, asked = look_at_config_map(self.reader, namespace), True
        return self._here() if asked and not switch.active else switch

    def _here(self) -> KillSwitch:
        switch = read_kill_switch(self.environment)
        return look_at_file(self.file) if not switch.active and self.file is not None else switch


def switch_namespaces(context: ClusterContext, jobs: Iterable[str]) -> tuple[str, ...]:
    """The namespaces whose ConfigMap counts: those of the jobs, and inside a cluster the one we run in."""
    own = {context.namespace} if context.name is None else set()
    return tuple(sorted({*jobs, *own}))


def look_at_config_map(reader: ClusterReader, namespace: str) -> KillSwitch:
    """What ``modekeeper-kill-switch`` of a namespace says. Only that it is not there lets changes pass."""
    try:
        found = reader.get(ObjectRef(CONFIG_MAPS, namespace, KILL_SWITCH_CONFIG_MAP))
    except ClusterAnswerError as error:
        if error.status == _NOT_FOUND:
            return NOT_ACTIVE
        return unreadable(config_map_signal(namespace), shown(str(error), _LONGEST_WHY))
    except Exception as error:  # noqa: BLE001 - whatever keeps us from knowing stops the change
        return unreadable(config_map_signal(namespace), shown(str(error) or type(error).__name__, _LONGEST_WHY))
    return said_by_config_map(namespace, found)


def look_at_file(path: str) -> KillSwitch:
    """What a file says. Not active where it is not there, and its folder is.

    A folder that is not there, a link to nothing, something that is no file, or one that may not be read: nobody can
    tell what the switch says, so it is active.
    """
    try:
        # Without O_NONBLOCK a pipe of that name would hold us up for ever.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return _not_there(path)
    except (OSError, ValueError) as error:
        return unreadable(file_signal(path), _why(error))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return unreadable(file_signal(path), "it is no file")
        return said_by_file(path, os.read(handle, _READ_BYTES))
    except OSError as error:
        return unreadable(file_signal(path), _why(error))
    finally:
        os.close(handle)


def _not_there(path: str) -> KillSwitch:
    place = Path(path)
    if place.is_symlink():
        return unreadable(file_signal(path), "it is a link to nothing")
    if not place.parent.is_dir():
        return unreadable(file_signal(path), "its folder is not there")
    return NOT_ACTIVE


def _why(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
