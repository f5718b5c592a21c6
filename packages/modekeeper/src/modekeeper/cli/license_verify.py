"""``mk license verify``."""

import os
import platform
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from modekeeper.artifacts.store import FolderStore
from modekeeper.cli.clocks import PINNED_CLOCK_VARIABLE, clock_from
from modekeeper.cli.console import print_json, say, warn
from modekeeper.cli.options import examples, gathered, json_option, out_option
from modekeeper.model.errors import BadInputError
from modekeeper.reports.folder.license_run import write_license_folder
from modekeeper.trust.chain import TrustChain
from modekeeper.trust.check import LicenseFacts, check_license
from modekeeper.trust.faults import TrustError, TrustStateError
from modekeeper.trust.finding import LICENSE_PATH_VARIABLE, FoundKeyring, find_issuers, find_keyring, find_license
from modekeeper.trust.state import TrustState, TrustStateFile, state_after, state_path

__all__ = ["verify"]


class _Trusted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose signature counts and what was seen before, as told on the command line."""

    keyring: str | None
    root_keyring: str | None
    issuer_keyset: str | None
    state: str | None


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What for and where, as told on the command line."""

    wanted: tuple[str, ...]
    cluster_uid: str | None
    org: str | None


def _trust_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "--keyring",
            "trusted__keyring",
            metavar="FILE",
            help="Keys that may sign a licence; else MK_LICENSE_GATE_PUBLIC_KEYS_PATH, else those of the package.",
        ),
        click.option(
            "--root-keyring",
            "trusted__root_keyring",
            metavar="FILE",
            help="Trust chain: the root keys, which sign --issuer-keyset.",
        ),
        click.option(
            "--issuer-keyset",
            "trusted__issuer_keyset",
            metavar="FILE",
            help="Trust chain: the keys that may sign a licence, signed by a root key.",
        ),
        click.option(
            "--trust-state",
            "trusted__state",
            metavar="FILE",
            help="Where the newest time and keyset seen are kept; else in your state folder.",
        ),
    ]
    return gathered("trusted", lambda given: _checked(_Trusted(**given)), options)(function)


def _asked_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "--wanted",
            "asked__wanted",
            multiple=True,
            metavar="WORD",
            help="An entitlement it must grant: apply. May be repeated.",
        ),
        click.option(
            "--cluster-uid",
            "asked__cluster_uid",
            metavar="UID",
            help="Uid of the namespace kube-system, for a licence bound to a cluster.",
        ),
        click.option("--org", "asked__org", metavar="NAME", help="Your organisation, for a licence bound to one."),
    ]
    return gathered("asked", lambda given: _Asked(**given), options)(function)


@click.command(
    epilog=examples(
        "mk license verify --license modekeeper.license.json --keyring keys.json",
        "mk license verify --license modekeeper.license.json --keyring keys.json --wanted apply",
    )
)
@click.option(
    "--license",
    "--license-path",
    "license_path",
    metavar="FILE",
    help=f"The licence; else {LICENSE_PATH_VARIABLE}, else ./modekeeper.license.json.",
)
@_trust_options
@_asked_options
@out_option("report/license-verify")
@json_option
def verify(license_path: str | None, trusted: _Trusted, asked: _Asked, out: str, as_json: bool) -> int:
    """Say whether a licence is good here, now, for what is wanted. Offline: nothing is asked of anybody.

    Exit code 0 when it is, 2 otherwise, with the reason.
    """
    clock = clock_from(os.environ)
    started = clock.now()
    store = FolderStore(Path(out))
    memory = _Memory(Path(trusted.state) if trusted.state is not None else state_path(os.environ))
    ring, state = _ring(trusted, memory, started)
    found = find_license(license_path, os.environ, Path())
    facts = LicenseFacts(
        cluster_uid=asked.cluster_uid, host=platform.node() or None, org=asked.org, newest_seen=state.newest_seen
    )
    verdict = check_license(found.data, keyring=ring.keyring, facts=facts, now=started, wanted=asked.wanted)
    memory.keep(state_after(state, verdict, started))
    notes = (*memory.notes, *_notes(ring))
    report = write_license_folder(
        store, verdict, clock, started=started, found=found, ring=ring, facts=facts, wanted=asked.wanted, notes=notes
    )
    if as_json:
        print_json(report)
    else:
        say(
            f"license_ok={str(report.license_ok).lower()} reason={report.reason} "
            f"failure_code={report.failure_code or 'none'} kid={report.kid or 'none'} "
            f"expires_at={report.expires_at or 'none'} entitlements={','.join(report.entitlements) or 'none'} "
            f"report={out}/license_verify_latest.json"
        )
    for note in notes:
        warn(f"note: {note}")
    if report.license_ok:
        return 0
    warn(f"ERROR: {report.reason}: {report.failure_detail} [{report.failure_code}]")
    return 2


class _Memory:
    """What was seen before, as far as it can be read and kept."""

    def __init__(self, path: Path | None) -> None:
        self.state = TrustState()
        self.fault: TrustStateError | None = None
        self.notes: tuple[str, ...] = ()
        self._file = None if path is None else TrustStateFile(path)
        if self._file is None:
            self.notes = ("no home folder: a clock set back goes unnoticed. Give --trust-state",)
            return
        try:
            self.state = self._file.load()
        except TrustStateError as error:
            self.fault = error

    def keep(self, state: TrustState) -> None:
        """Keep what was learned. A pinned clock says nothing of the time, and teaches nothing."""
        if self._file is None or self.fault is not None or state == self.state:
            return
        if os.environ.get(PINNED_CLOCK_VARIABLE):
            self.notes = (*self.notes, "the clock is pinned: what was seen is not kept")
            return
        try:
            self._file.save(state)
        except TrustStateError as error:
            self.notes = (*self.notes, error.detail)


def _ring(trusted: _Trusted, memory: _Memory, now: datetime) -> tuple[FoundKeyring, TrustState]:
    """The keys that may sign, and what was learned by finding them."""
    state = memory.state
    if trusted.root_keyring is not None and trusted.issuer_keyset is not None:
        chain = TrustChain(now=now, state=state)
        ring, state = find_issuers(trusted.root_keyring, trusted.issuer_keyset, chain), chain.state
    else:
        ring = find_keyring(trusted.keyring, os.environ)
    return (ring if memory.fault is None else msgspec.structs.replace(ring, keyring=memory.fault)), state


def _checked(trusted: _Trusted) -> _Trusted:
    if (trusted.root_keyring is None) is not (trusted.issuer_keyset is None):
        raise BadInputError("--root-keyring and --issuer-keyset make the trust chain together: give both or neither.")
    if trusted.keyring is not None and trusted.root_keyring is not None:
        raise BadInputError("--keyring and --root-keyring contradict each other: give one of them.")
    return trusted


def _notes(ring: FoundKeyring) -> tuple[str, ...]:
    if ring.source == "packaged" and not isinstance(ring.keyring, TrustError) and not ring.keyring.keys:
        return ("the keyring of this package is empty, so it accepts no licence: give --keyring",)
    return ()
