"""The trust chain: a root key signs the issuers, an issuer key signs the licence. In that order, or not at all."""

from datetime import datetime, timedelta

import msgspec

from modekeeper.trust.check import CLOCK_TOLERANCE_S, LicenseFacts, LicenseVerdict, check_license
from modekeeper.trust.ed25519 import signature_is_valid
from modekeeper.trust.faults import IssuerKeysetError, LicenseFileError
from modekeeper.trust.issuer_keyset import IssuerKeyset, read_issuer_keyset
from modekeeper.trust.keyring import Keyring, read_keyring
from modekeeper.trust.state import TrustState

__all__ = ["TrustChain", "TrustOrderError"]


class TrustOrderError(RuntimeError):
    """A link was to be loaded before the one it hangs on. A mistake of the program, never of a document."""


class TrustChain:
    """Holds only what was verified: bytes go in, and a method that stores is the method that verified.

    Args:
        now: the time of the one clock, with a zone.
        state: what was seen before.
    """

    def __init__(self, *, now: datetime, state: TrustState) -> None:
        self._now = now
        self._state = state
        self._root: Keyring | None = None
        self._issuers: IssuerKeyset | None = None

    @property
    def state(self) -> TrustState:
        """What is to be remembered: the newest keyset among it."""
        return self._state

    @property
    def issuers(self) -> Keyring:
        """The keys that may sign licences.

        Raises:
            TrustOrderError: no issuer keyset was loaded.
        """
        if self._root is None or self._issuers is None:
            raise TrustOrderError("a licence before an issuer keyset")
        signed = self._issuers.keyring
        return Keyring(
            keys=signed.keys,
            revoked_kids=signed.revoked_kids | self._root.revoked_kids,
            revoked_licenses=signed.revoked_licenses | self._root.revoked_licenses,
        )

    def load_root(self, data: bytes) -> Keyring:
        """Link 1: the root keys, trusted because of where they are.

        Raises:
            KeyringError: it is no keyring.
            TrustOrderError: there is a root already.
        """
        if self._root is not None:
            raise TrustOrderError("a second root")
        self._root = read_keyring(data)
        return self._root

    def load_issuers(self, data: bytes) -> IssuerKeyset:
        """Link 2: the issuer keyset, signed by a root key, of today, and no older than the newest that was seen.

        Raises:
            IssuerKeysetError: ``keyset_kid_revoked``, ``keyset_kid_unknown``, ``keyset_signature_mismatch``,
                ``keyset_rolled_back``, ``keyset_version_reused``, ``keyset_clock_set_back``,
                ``keyset_issued_in_the_future``, ``keyset_expired``, ``keyset_root_as_issuer``, or of its form.
            TrustOrderError: no root was loaded.
        """
        if self._root is None:
            raise TrustOrderError("an issuer keyset before a root")
        keyset = read_issuer_keyset(data)
        _check_signed(keyset, self._root)
        _check_newest(keyset, self._state)
        _check_time(keyset, self._now, self._state.newest_seen)
        if set(keyset.keyring.keys.values()) & set(self._root.keys.values()):
            raise IssuerKeysetError("keyset_root_as_issuer", "the issuer keyset lists a root key as an issuer's")
        self._issuers = keyset
        self._state = msgspec.structs.replace(
            self._state,
            keyset_version=keyset.version,
            keyset_digest=keyset.digest,
            newest_issued_at=max(keyset.issued_at, self._state.newest_issued_at or keyset.issued_at),
        )
        return keyset

    def check_license(
        self, data: bytes | LicenseFileError | None, *, facts: LicenseFacts, wanted: tuple[str, ...] = ()
    ) -> LicenseVerdict:
        """Link 3: the licence, by the keys of the issuer keyset; see :func:`modekeeper.trust.check.check_license`.

        Raises:
            TrustOrderError: no issuer keyset was loaded.
        """
        return check_license(data, keyring=self.issuers, facts=facts, now=self._now, wanted=wanted)


def _check_signed(keyset: IssuerKeyset, root: Keyring) -> None:
    if keyset.kid in root.revoked_kids:
        raise IssuerKeysetError("keyset_kid_revoked", f"the root key {keyset.kid!r} is revoked")
    key = root.keys.get(keyset.kid)
    if key is None:
        raise IssuerKeysetError("keyset_kid_unknown", f"the root keyring does not have the key {keyset.kid!r}")
    if not signature_is_valid(key, keyset.signature, keyset.payload):
        text = f"the root key {keyset.kid!r} did not sign what the issuer keyset says"
        raise IssuerKeysetError("keyset_signature_mismatch", text)


def _check_newest(keyset: IssuerKeyset, state: TrustState) -> None:
    if keyset.version < state.keyset_version:
        text = f"the issuer keyset has version {keyset.version}, and version {state.keyset_version} was seen before"
        raise IssuerKeysetError("keyset_rolled_back", text)
    if keyset.version == state.keyset_version and keyset.digest != state.keyset_digest:
        text = f"another issuer keyset of version {keyset.version} was seen before: two have the same version"
        raise IssuerKeysetError("keyset_version_reused", text)


def _check_time(keyset: IssuerKeyset, now: datetime, newest_seen: datetime | None) -> None:
    tolerance = timedelta(seconds=CLOCK_TOLERANCE_S)
    if newest_seen is not None and newest_seen - now > tolerance:
        raise IssuerKeysetError(
            "keyset_clock_set_back", "the clock is earlier than a time that has been: set the clock"
        )
    if keyset.issued_at - now > tolerance:
        raise IssuerKeysetError("keyset_issued_in_the_future", "the issuer keyset is from the future")
    if keyset.expires_at <= max(now, newest_seen or now):
        text = f"the issuer keyset expired at {keyset.expires_at:%Y-%m-%dT%H:%M:%SZ}: get the newest one"
        raise IssuerKeysetError("keyset_expired", text)
