"""Attacks on licences, keyrings, issuer keysets and files in one table, each by real files through the one entry."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.trust import test_attacks, test_chain, test_check, test_finding
from tests.trust.signing import FACTS, KEYRING, NOW, b64, dumped, licence, public_bytes

from modekeeper.trust.on_machine import LicenseCheck, TrustSources, check_on_machine
from modekeeper.trust.state import TrustState, TrustStateFile

KEYS = dumped({kid: b64(public_bytes(kid)) for kid in ("vendor-2026", "vendor-2027")})
Setting = Callable[[Path], TrustSources]
"""Puts the files of an attack into a folder, and says which they are."""


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o644)
    return str(path)


def by_licence(data: Callable[[], bytes]) -> Setting:
    return lambda at: TrustSources(license=written(at / "l", data()), keyring=written(at / "k", KEYS))


def by_keyring(data: bytes) -> Setting:
    return lambda at: TrustSources(license=written(at / "l", licence()), keyring=written(at / "k", data))


def by_keyset(data: bytes, state: TrustState) -> Setting:
    def put(at: Path) -> TrustSources:
        TrustStateFile(at / "state" / "modekeeper" / "trust_state.json").save(state)
        return TrustSources(
            license=written(at / "l", licence()),
            root_keyring=written(at / "r", test_chain.ROOT),
            issuer_keyset=written(at / "i", data),
        )

    return put


def by_file(what: str, make: Callable[[Path, bytes], Path]) -> Setting:
    def put(at: Path) -> TrustSources:
        made = {
            "license": str(make(at, licence())) if what == "license" else written(at / "l", licence()),
            "root_keyring": str(make(at, test_chain.ROOT)) if what == "root" else written(at / "r", test_chain.ROOT),
            "issuer_keyset": (
                str(make(at, test_chain.GOOD)) if what == "keyset" else written(at / "i", test_chain.GOOD)
            ),
        }
        return TrustSources(**made)

    return put


EVERY: dict[str, tuple[Setting, str]] = {
    **{
        f"licence: {name}": (by_licence(attack.data), attack.code)
        for name, attack in test_attacks.ATTACKS.items()
        if attack.keyring is KEYRING and attack.facts is FACTS and not name.startswith("10 MB")
    },
    "licence: 10 MB": (by_licence(test_attacks.ATTACKS["10 MB"].data), "license_file_too_large"),
    **{
        f"keyring: {name}": (by_keyring(data), code)
        for name, (data, code) in test_check.BAD_KEYRINGS.items()
        if not name.startswith("larger")
    },
    **{f"keyset: {name}": (by_keyset(data, state), code) for name, (data, code, state) in test_chain.ATTACKS.items()},
    **{
        f"{what} file: {name}": (by_file(what, make), f"{prefix}_{code}")
        for what, prefix in {"license": "license_file", "root": "keyring_file", "keyset": "keyset_file"}.items()
        for name, (make, code) in test_finding.FILES.items()
    },
}


def checked(sources: TrustSources, at: Path) -> LicenseCheck:
    return check_on_machine(
        sources,
        environment={"XDG_STATE_HOME": str(at / "state")},
        folder=at,
        facts=FACTS,
        now=NOW,
        wanted=("apply",),
    )


@pytest.mark.parametrize("name", EVERY)
def test_attack(name: str, tmp_path: Path) -> None:
    put, code = EVERY[name]
    verdict = checked(put(tmp_path), tmp_path).verdict
    assert (verdict.license_ok, verdict.failure_code) == (False, code)
    assert verdict.failure_detail is not None
    assert verdict.failure_detail.isprintable()


def test_the_files_the_attacks_start_from_are_good(tmp_path: Path) -> None:
    assert checked(by_licence(licence)(tmp_path), tmp_path).verdict.license_ok
    assert checked(by_keyring(KEYS)(tmp_path), tmp_path).verdict.license_ok
    check = checked(by_keyset(test_chain.GOOD, TrustState())(tmp_path), tmp_path)
    assert (check.verdict.license_ok, check.ring.keyset_version) == (True, 3)


@pytest.mark.parametrize(
    "sources",
    [
        TrustSources(root_keyring="r"),
        TrustSources(issuer_keyset="i"),
        TrustSources(root_keyring="r", issuer_keyset="i", keyring="k"),
        TrustSources(issuer_keyset="i", keyring="k"),
    ],
)
def test_half_a_chain_is_never_taken_for_none(sources: TrustSources, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trust chain"):
        checked(sources, tmp_path)
