"""``mk license verify``."""

import os
import platform
from collections.abc import Callable
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
from modekeeper.trust.check import LicenseFacts
from modekeeper.trust.finding import LICENSE_PATH_VARIABLE, ORGANISATION_VARIABLE, find_organisation
from modekeeper.trust.on_machine import TrustSources, check_on_machine

__all__ = ["verify"]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What for and where, as told on the command line."""

    wanted: tuple[str, ...]
    cluster_uid: str | None
    org: str | None


def _trust_options(function: Callable[..., Any]) -> Callable[..., Any]:
    options = [
        click.option(
            "--keyring",
            "sources__keyring",
            metavar="FILE",
            help="Keys that may sign a licence; else MK_LICENSE_GATE_PUBLIC_KEYS_PATH, else those of the package.",
        ),
        click.option(
            "--root-keyring",
            "sources__root_keyring",
            metavar="FILE",
            help="Trust chain: the root keys, which sign --issuer-keyset.",
        ),
        click.option(
            "--issuer-keyset",
            "sources__issuer_keyset",
            metavar="FILE",
            help="Trust chain: the keys that may sign a licence, signed by a root key.",
        ),
        click.option(
            "--trust-state",
            "sources__state",
            metavar="FILE",
            help="Where the newest time and keyset seen are kept; else in your state folder.",
        ),
    ]
    return gathered("sources", lambda given: _checked(TrustSources(**given)), options)(function)


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
        click.option(
            "--org",
            "asked__org",
            metavar="NAME",
            help=f"Your organisation, for a licence bound to one; else {ORGANISATION_VARIABLE}.",
        ),
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
def verify(license_path: str | None, sources: TrustSources, asked: _Asked, out: str, as_json: bool) -> int:
    """Say whether a licence is good here, now, for what is wanted. Offline: nothing is asked of anybody.

    Exit code 0 when it is, 2 otherwise, with the reason.
    """
    clock = clock_from(os.environ)
    started = clock.now()
    store = FolderStore(Path(out))
    check = check_on_machine(
        msgspec.structs.replace(sources, license=license_path),
        environment=os.environ,
        folder=Path(),
        facts=LicenseFacts(
            cluster_uid=asked.cluster_uid,
            host=platform.node() or None,
            org=find_organisation(asked.org, os.environ),
        ),
        now=started,
        wanted=asked.wanted,
        learn=not os.environ.get(PINNED_CLOCK_VARIABLE),
    )
    report = write_license_folder(store, check, clock, started=started, wanted=asked.wanted)
    if as_json:
        print_json(report)
    else:
        say(
            f"license_ok={str(report.license_ok).lower()} reason={report.reason} "
            f"failure_code={report.failure_code or 'none'} kid={report.kid or 'none'} "
            f"expires_at={report.expires_at or 'none'} entitlements={','.join(report.entitlements) or 'none'} "
            f"report={out}/license_verify_latest.json"
        )
    for note in check.notes:
        warn(f"note: {note}")
    if report.license_ok:
        return 0
    warn(f"ERROR: {report.reason}: {report.failure_detail} [{report.failure_code}]")
    return 2


def _checked(sources: TrustSources) -> TrustSources:
    if (sources.root_keyring is None) is not (sources.issuer_keyset is None):
        raise BadInputError("--root-keyring and --issuer-keyset make the trust chain together: give both or neither.")
    if sources.keyring is not None and sources.root_keyring is not None:
        raise BadInputError("--keyring and --root-keyring contradict each other: give one of them.")
    return sources
