"""Where the licence and the keyring are looked for."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec

from modekeeper.model.untrusted import visible
from modekeeper.trust.approval import LONGEST_APPROVAL_BYTES
from modekeeper.trust.chain import TrustChain
from modekeeper.trust.faults import ApprovalFileError, IssuerKeysetError, KeyringError, LicenseFileError, TrustError
from modekeeper.trust.files import read_guarded_file
from modekeeper.trust.issuer_keyset import LONGEST_KEYSET_BYTES
from modekeeper.trust.keyring import LONGEST_KEYRING_BYTES, Keyring, read_keyring
from modekeeper.trust.license import LONGEST_LICENSE_BYTES

__all__ = [
    "APPROVERS_PATH_VARIABLE",
    "KEYRING_PATH_VARIABLE",
    "LICENSE_FILE",
    "LICENSE_PATH_VARIABLE",
    "ORGANISATION_VARIABLE",
    "FoundKeyring",
    "FoundLicense",
    "find_approvers",
    "find_issuers",
    "find_keyring",
    "find_license",
    "find_organisation",
    "read_approval_file",
]

LICENSE_PATH_VARIABLE = "MODEKEEPER_LICENSE_PATH"
KEYRING_PATH_VARIABLE = "MK_LICENSE_GATE_PUBLIC_KEYS_PATH"
APPROVERS_PATH_VARIABLE = "MODEKEEPER_APPROVERS_PATH"
ORGANISATION_VARIABLE = "MODEKEEPER_ORG"
LICENSE_FILE = "modekeeper.license.json"
"""In the working folder: the last place that is looked at."""


LicenseSource = Literal["option", "environment", "folder", "none"]
KeyringSource = Literal["option", "environment", "packaged", "chain"]


class FoundLicense(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a licence."""

    source: LicenseSource
    path: str | None
    data: bytes | LicenseFileError | None
    """What is in it; why that cannot be read; ``None`` where there is no licence anywhere."""


class FoundKeyring(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of the keys that may sign a licence."""

    source: KeyringSource
    path: str | None
    """Of the root keyring where ``source`` is ``chain``."""
    keyring: Keyring | TrustError
    """The keys, or why they cannot be used."""
    keyset_path: str | None = None
    keyset_version: int | None = None
    """Of an issuer keyset that was verified."""


def find_license(option: str | None, environment: Mapping[str, str], folder: Path) -> FoundLicense:
    """The licence: of ``option``, else of ``MODEKEEPER_LICENSE_PATH``, else ``modekeeper.license.json`` in ``folder``.

    The first place that is named counts, readable or not: a licence that cannot be read hides no other one.
    """
    if option is not None:
        return _license("option", Path(option))
    if named := environment.get(LICENSE_PATH_VARIABLE):
        return _license("environment", Path(named))
    default = folder / LICENSE_FILE
    # A link that leads nowhere is a licence somebody meant to give.
    if default.exists() or default.is_symlink():
        return _license("folder", default)
    return FoundLicense(source="none", path=None, data=None)


def find_keyring(option: str | None, environment: Mapping[str, str]) -> FoundKeyring:
    """The keyring: of ``option``, else of ``MK_LICENSE_GATE_PUBLIC_KEYS_PATH``, else the one in the package."""
    if option is not None:
        return _keyring("option", Path(option))
    if named := environment.get(KEYRING_PATH_VARIABLE):
        return _keyring("environment", Path(named))
    packaged = files("modekeeper.trust").joinpath("data", "keyring.json").read_bytes()
    return FoundKeyring(source="packaged", path=None, keyring=read_keyring(packaged))


def find_issuers(root: str, keyset: str, chain: TrustChain) -> FoundKeyring:
    """The issuers' keys by the trust chain: the file ``root`` has the root keys, the file ``keyset`` the issuers'."""
    issuers: Keyring | TrustError
    version: int | None = None
    try:
        chain.load_root(
            read_guarded_file(
                Path(root), what="keyring_file", longest=LONGEST_KEYRING_BYTES, error=KeyringError, guard_folder=True
            )
        )
        data = read_guarded_file(
            Path(keyset), what="keyset_file", longest=LONGEST_KEYSET_BYTES, error=IssuerKeysetError
        )
        version = chain.load_issuers(data).version
        issuers = chain.issuers
    except TrustError as error:
        issuers = error
    return FoundKeyring(source="chain", path=root, keyring=issuers, keyset_path=keyset, keyset_version=version)


def find_organisation(option: str | None, environment: Mapping[str, str]) -> str | None:
    """Which organisation this installation says it is of: ``option``, else ``MODEKEEPER_ORG``; ``None``: nobody says.

    It is a word of the user, not a proof: a licence bound to an organisation keeps honest installations apart.
    """
    return option if option is not None else environment.get(ORGANISATION_VARIABLE) or None


def find_approvers(option: str | None, environment: Mapping[str, str]) -> Keyring | TrustError:
    """The keys that may approve: of ``option``, else of ``MODEKEEPER_APPROVERS_PATH``; or why they cannot be used.

    They are a keyring of their own, and there is none in the package. One that shares a key with the keyring of
    licences is not used: who issues licences approves nothing.
    """
    named = option if option is not None else environment.get(APPROVERS_PATH_VARIABLE)
    if not named:
        text = f"who may approve is not told: give --approvers FILE, or set {APPROVERS_PATH_VARIABLE}"
        return KeyringError("approvers_not_given", text)
    approvers = _keyring("option", Path(named)).keyring
    issuers = find_keyring(None, environment).keyring
    if isinstance(approvers, Keyring) and isinstance(issuers, Keyring):
        shared = set(approvers.keys.values()) & set(issuers.keys.values())
        if shared:
            text = f"a key of the approvers' keyring {visible(named, 300)!r} may sign licences: it must not approve"
            return KeyringError("approver_is_issuer", text)
    return approvers


def read_approval_file(path: str) -> bytes:
    """The bytes of an approval that the user named.

    Raises:
        ApprovalFileError: it cannot be read, or is not one to be read; codes begin with ``approval_file_``.
    """
    return read_guarded_file(Path(path), what="approval_file", longest=LONGEST_APPROVAL_BYTES, error=ApprovalFileError)


def _license(source: LicenseSource, path: Path) -> FoundLicense:
    data: bytes | LicenseFileError
    try:
        data = read_guarded_file(path, what="license_file", longest=LONGEST_LICENSE_BYTES, error=LicenseFileError)
    except LicenseFileError as error:
        data = error
    return FoundLicense(source=source, path=str(path), data=data)


def _keyring(source: KeyringSource, path: Path) -> FoundKeyring:
    keyring: Keyring | KeyringError
    try:
        data = read_guarded_file(
            path, what="keyring_file", longest=LONGEST_KEYRING_BYTES, error=KeyringError, guard_folder=True
        )
        keyring = read_keyring(data)
    except KeyringError as error:
        keyring = error
    return FoundKeyring(source=source, path=str(path), keyring=keyring)
