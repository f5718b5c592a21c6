"""The check of a licence with everything it needs from this machine: files, and what was seen before."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from modekeeper.trust.chain import TrustChain
from modekeeper.trust.check import LicenseFacts, LicenseVerdict, check_license
from modekeeper.trust.faults import TrustError, TrustStateError
from modekeeper.trust.finding import FoundKeyring, FoundLicense, find_issuers, find_keyring, find_license
from modekeeper.trust.state import TrustState, TrustStateFile, state_after, state_path

__all__ = ["LicenseCheck", "TrustSources", "check_on_machine"]


class TrustSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is, as told by the user; ``None``: in its usual place."""

    license: str | None = None
    keyring: str | None = None
    root_keyring: str | None = None
    """With ``issuer_keyset``: the trust chain, in place of ``keyring``."""
    issuer_keyset: str | None = None
    state: str | None = None


class LicenseCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and what it rests on."""

    verdict: LicenseVerdict
    found: FoundLicense
    ring: FoundKeyring
    facts: LicenseFacts
    notes: tuple[str, ...]
    """What does not stand in the way."""


def check_on_machine(
    sources: TrustSources,
    *,
    environment: Mapping[str, str],
    folder: Path,
    facts: LicenseFacts,
    now: datetime,
    wanted: tuple[str, ...] = (),
    learn: bool = True,
) -> LicenseCheck:
    """Find licence, keys and state, give the verdict, and keep what was learned. Raises nothing of its own.

    Args:
        sources: where everything is.
        environment: the variables of the process.
        folder: the working folder, where a licence is looked for last.
        facts: what is known of the place; the newest time seen is added from the state.
        now: the time of the one clock, with a zone.
        wanted: entitlements, all of which are needed.
        learn: whether ``now`` is a time to remember; false where the clock is pinned.

    Raises:
        ValueError: half of a trust chain, or a keyring beside it: never taken for the other half's absence.
    """
    chained = sources.root_keyring is not None or sources.issuer_keyset is not None
    if chained and (sources.root_keyring is None or sources.issuer_keyset is None or sources.keyring is not None):
        raise ValueError("the trust chain is a root keyring and an issuer keyset, and no other keyring")
    path = Path(sources.state) if sources.state is not None else state_path(environment)
    before, fault = _seen_before(path)
    chain = TrustChain(now=now, state=before)
    if sources.root_keyring is not None and sources.issuer_keyset is not None:
        ring = find_issuers(sources.root_keyring, sources.issuer_keyset, chain)
    else:
        ring = find_keyring(sources.keyring, environment)
    if fault is not None:
        ring = msgspec.structs.replace(ring, keyring=fault)
    found = find_license(sources.license, environment, folder)
    facts = msgspec.structs.replace(facts, newest_seen=chain.state.newest_seen)
    verdict = check_license(found.data, keyring=ring.keyring, facts=facts, now=now, wanted=wanted)
    after = state_after(chain.state, verdict, now)
    notes = (*_kept(path, after, new=fault is None and after != before, learn=learn), *_about(ring))
    return LicenseCheck(verdict=verdict, found=found, ring=ring, facts=facts, notes=notes)


def _seen_before(path: Path | None) -> tuple[TrustState, TrustStateError | None]:
    if path is None:
        return TrustState(), None
    try:
        return TrustStateFile(path).load(), None
    except TrustStateError as error:
        return TrustState(), error


def _kept(path: Path | None, state: TrustState, *, new: bool, learn: bool) -> tuple[str, ...]:
    if path is None:
        return ("there is no home folder, so a clock set back goes unnoticed: give --trust-state a file",)
    if not new:
        return ()
    if not learn:
        return ("the clock is pinned: what was seen is not kept",)
    try:
        TrustStateFile(path).save(state)
    except TrustStateError as error:
        return (error.detail,)
    return ()


def _about(ring: FoundKeyring) -> tuple[str, ...]:
    if ring.source == "packaged" and not isinstance(ring.keyring, TrustError) and not ring.keyring.keys:
        return ("the keyring of this package is empty, so it accepts no licence: give --keyring",)
    return ()
