"""``mk-license``: what it issues is what ``modekeeper.trust`` takes, and its secrets stay where they are."""

import base64
import json
import os
import pickle
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from modekeeper.cli.clocks import PinnedClock
from modekeeper.model.errors import BadInputError
from modekeeper.trust.chain import TrustChain
from modekeeper.trust.check import LicenseFacts, LicenseVerdict, check_license
from modekeeper.trust.keyring import Keyring, read_keyring
from modekeeper.trust.license import License, read_license
from modekeeper.trust.passphrase import Passphrase, find_passphrase
from modekeeper.trust.state import TrustState
from modekeeper_license_gate.key_folder import KeyFolder
from modekeeper_license_gate.main import PASSPHRASE_VARIABLE, main

SECRET = "correct-horse-battery-staple"  # noqa: S105 - of these tests
NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, SECRET)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        code = main(words, PinnedClock(NOW))
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def done(result: tuple[int, str, str]) -> str:
    assert result[0] == 0, result
    assert result[2] == ""
    return result[1]


def refused(result: tuple[int, str, str], text: str, code: int = 2) -> None:
    assert result[0] == code, result
    assert result[1] == ""
    assert result[2].startswith("ERROR: ")
    assert result[2].count("\n") == 1
    assert text in result[2]


FILES: dict[str, bytes] = {}
"""The bytes of each licence that a customer holds, by its digest."""


def held(path: Path) -> License:
    document = read_license(path.read_bytes())
    FILES[document.digest] = path.read_bytes()
    return document


def issued(run: Run, kid: str = "k1", out: str = "licence.json", **said: str) -> License:
    words = {"--kid": kid, "--org": "Acme", "--issuer": "ModeKeeper", "--days": "30", "--entitlement": "apply"}
    words |= {f"--{name.replace('_', '-')}": value for name, value in said.items()}
    done(run("issue", "--folder", "keys", "--out", out, *(word for pair in words.items() for word in pair)))
    return held(Path(out))


def good(document: License, keyring: Path = Path("keys/keyring.json")) -> bool:
    """Whether a customer's ModeKeeper, which has that keyring, takes the licence."""
    ring = read_keyring(keyring.read_bytes())
    return checked(document, ring).license_ok


def checked(document: License, ring: Keyring) -> LicenseVerdict:
    facts = LicenseFacts(cluster_uid="0a1b", host="node-1", org="Acme")
    return check_license(FILES[document.digest], keyring=ring, facts=facts, now=NOW, wanted=("apply",))


def test_what_is_issued_verifies(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    document = issued(run, bind_cluster="0a1b", bind_host="node-1", bind_org="Acme")
    assert good(document)
    assert (document.org, document.issuer, document.entitlements) == ("Acme", "ModeKeeper", ("apply",))
    assert (document.issued_at, (document.expires_at - document.issued_at).days) == (NOW, 30)
    assert (document.bindings.cluster, document.bindings.host, document.bindings.org) == ("0a1b", "node-1", "Acme")
    told = done(run("inspect", "licence.json"))
    assert document.digest in told
    assert "cluster=0a1b" in told


def test_a_rotation_from_its_beginning_to_its_end(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    old = issued(run, "k1", "old.json")
    done(run("rotate", "--folder", "keys", "--kid", "k2"))
    new = issued(run, "k2", "new.json")
    assert good(old)
    assert good(new)
    done(run("rotate", "--folder", "keys", "--retire", "k1"))
    assert not good(old)
    assert good(new)
    refused(run("rotate", "--folder", "keys", "--retire", "k2"), "only key")


def test_a_revoked_licence_and_a_revoked_key(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    done(run("keys", "--folder", "keys", "--kid", "k2"))
    one, other, third = (
        issued(run, "k1", "a.json"),
        issued(run, "k1", "b.json", org="Other"),
        issued(run, "k2", "c.json"),
    )
    done(run("revoke", "--folder", "keys", "--license", "a.json"))
    assert [good(each) for each in (one, other, third)] == [False, True, True]
    done(run("revoke", "--folder", "keys", "--kid", "k1"))
    assert [good(each) for each in (one, other, third)] == [False, False, True]
    words = ("--org", "A", "--issuer", "M", "--days", "1", "--entitlement", "apply", "--out", "d.json")
    refused(run("issue", "--folder", "keys", "--kid", "k1", *words), "is revoked")
    assert not Path("d.json").exists()
    # Revocations outlive rotations and new keys, and a revoked name cannot be used again.
    done(run("rotate", "--folder", "keys", "--retire", "k1"))
    done(run("rotate", "--folder", "keys", "--kid", "k3"))
    ring = read_keyring(Path("keys/keyring.json").read_bytes())
    assert ring.revoked_kids == {"k1"}
    assert ring.revoked_licenses == {one.digest}
    refused(run("keys", "--folder", "keys", "--kid", "k1"), "already")
    assert "k1" in done(run("inspect", "keys/keyring.json"))


def test_a_keyset_is_signed_by_the_root_and_its_version_grows(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    done(run("keys", "--folder", "root", "--kid", "root-1"))
    words = ("--folder", "keys", "--root-folder", "root", "--root-kid", "root-1", "--days", "90", "--out", "set.json")
    licence, state = issued(run), TrustState()
    for version in (1, 2):
        done(run("keyset", *words))
        chain = TrustChain(now=NOW, state=state)
        chain.load_root(Path("root/keyring.json").read_bytes())
        assert chain.load_issuers(Path("set.json").read_bytes()).version == version
        state = chain.state
        facts = LicenseFacts()
        assert chain.check_license(FILES[licence.digest], facts=facts, wanted=("apply",)).license_ok
    done(run("revoke", "--folder", "keys", "--license", "licence.json"))
    done(run("keyset", *words))
    chain.load_issuers(Path("set.json").read_bytes())
    assert chain.check_license(FILES[licence.digest], facts=facts).failure_code == "license_revoked"
    assert "version 3" in done(run("inspect", "set.json"))
    self_signed = ("--folder", "keys", "--root-folder", "keys", "--root-kid", "k1", "--days", "9", "--out", "x.json")
    refused(run("keyset", *self_signed), "among the issuers")


def test_a_development_licence_in_one_command(run: Run) -> None:
    said = done(run("dev", "--out", "demo"))
    document = held(Path("demo/modekeeper.license.json"))
    assert good(document, Path("demo/development_keyring.json"))
    assert document.kid.startswith("development-")
    assert "DEVELOPMENT" in document.issuer
    assert "DEVELOPMENT" in said
    assert names("demo") == ["development_keyring.json", "modekeeper.license.json"]
    done(run("dev", "--out", "demo"))
    assert not good(document, Path("demo/development_keyring.json"))
    assert good(held(Path("demo/modekeeper.license.json")), Path("demo/development_keyring.json"))


def test_a_development_licence_replaces_no_other(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    issued(run, out="demo/modekeeper.license.json")
    before = Path("demo/modekeeper.license.json").read_bytes()
    refused(run("dev", "--out", "demo"), "not overwritten")
    refused(run("dev", "--out", "else", "--days", "91"), "1 to 90")
    assert Path("demo/modekeeper.license.json").read_bytes() == before
    assert names("demo") == ["modekeeper.license.json"]


def test_no_secret_is_in_anything_that_is_written_or_said(run: Run, tmp_path: Path) -> None:
    said = [run("keys", "--folder", "keys", "--kid", "k1")]
    issued(run)
    said += [run("inspect", f"keys/{name}") for name in ("k1.key.pem", "keyring.json")]
    said += [run("revoke", "--folder", "keys", "--license", "licence.json"), run("dev", "--out", "demo")]
    said.append(run("issue", "--folder", "keys", "--kid", "k1", "--org", "", "--issuer", "a", "--days", "1"))
    key = KeyFolder(Path("keys")).private_key("k1", Passphrase(SECRET.encode()))
    raw = key.private_bytes_raw()
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    secrets = [SECRET.encode(), raw, pkcs8, raw.hex().encode(), *map(_base64, (raw, pkcs8))]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    texts = [*written, *("".join(map(str, each)).encode() for each in said)]
    assert len(written) >= 5
    assert [secret for secret in secrets for text in texts if secret in text] == []


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")[:-2]


def test_a_passphrase_shows_itself_to_nobody() -> None:
    secret = Passphrase(SECRET.encode())
    assert SECRET not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_private_files_are_for_their_owner_alone(run: Run) -> None:
    before = os.umask(0)
    try:
        done(run("keys", "--folder", "keys", "--kid", "k1"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("keys").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path("keys/k1.key.pem").stat().st_mode) == 0o600
    assert names("keys") == [".lock", "k1.key.pem", "keyring.json"]


def test_the_file_of_a_key_is_standard_and_slow_to_guess(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    environment = {"PATH": os.environ["PATH"], "P": SECRET}
    words = ["openssl", "pkey", "-in", "keys/k1.key.pem", "-passin", "env:P", "-pubout", "-outform", "DER"]
    opened = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert opened.returncode == 0, opened.stderr
    ring = json.loads(Path("keys/keyring.json").read_text())
    assert _base64(opened.stdout[-32:]) == ring["keys"]["k1"].rstrip("=")[:-2].encode()
    shown = subprocess.run(
        ["openssl", "asn1parse", "-in", "keys/k1.key.pem"], capture_output=True, text=True, check=True
    )
    assert ":scrypt" in shown.stdout
    assert ":aes-256-cbc" in shown.stdout


def test_a_wrong_passphrase_is_one_clear_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    words = ("--org", "A", "--issuer", "M", "--days", "1", "--entitlement", "apply", "--out", "d.json")
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "another-passphrase")
    refused(
        run("issue", "--folder", "keys", "--kid", "k1", *words), "the passphrase does not open the private key 'k1'"
    )
    assert not Path("d.json").exists()


def test_where_a_passphrase_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"from-the-file-12\n")
    file.chmod(0o600)
    environment = {PASSPHRASE_VARIABLE: "from-the-environment"}
    assert find_passphrase(file, environment, variable=PASSPHRASE_VARIABLE, new=True).reveal() == b"from-the-file-12"
    assert (
        find_passphrase(None, environment, variable=PASSPHRASE_VARIABLE, new=True).reveal() == b"from-the-environment"
    )
    file.chmod(0o640)
    with pytest.raises(BadInputError, match="open to others"):
        find_passphrase(file, environment, variable=PASSPHRASE_VARIABLE, new=False)
    with pytest.raises(BadInputError, match="cannot be read"):
        find_passphrase(tmp_path / "none", environment, variable=PASSPHRASE_VARIABLE, new=False)
    with pytest.raises(BadInputError, match="too short"):
        find_passphrase(None, {PASSPHRASE_VARIABLE: "short"}, variable=PASSPHRASE_VARIABLE, new=True)
    with pytest.raises(BadInputError, match="empty"):
        find_passphrase(None, {PASSPHRASE_VARIABLE: ""}, variable=PASSPHRASE_VARIABLE, new=False)


@pytest.mark.parametrize("step", ["hardlink_to", "replace"])
def test_a_crash_between_any_two_steps_is_made_good(run: Run, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    before = Path("keys/keyring.json").read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, step, fail)
        refused(run("keys", "--folder", "keys", "--kid", "k2"), "no space left", 1)
    assert Path("keys/keyring.json").read_bytes() == before
    assert [name for name in names("keys") if "unfinished" in name] == []
    done(run("keys", "--folder", "keys", "--kid", "k2"))
    assert good(issued(run, "k2"))


def test_a_private_key_is_never_overwritten(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    before = Path("keys/k1.key.pem").read_bytes()
    refused(run("keys", "--folder", "keys", "--kid", "k1"), "already")
    Path("keys/keyring.json").unlink()
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    assert Path("keys/k1.key.pem").read_bytes() == before
    assert good(issued(run))


def test_a_key_that_is_not_the_listed_one_signs_nothing(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    done(run("keys", "--folder", "other", "--kid", "k1"))
    Path("other/k1.key.pem").replace("keys/k1.key.pem")
    words = ("--org", "A", "--issuer", "M", "--days", "1", "--entitlement", "apply", "--out", "d.json")
    refused(run("issue", "--folder", "keys", "--kid", "k1", *words), "is not the one that the keyring lists")


ISSUE = {"--folder": "keys", "--kid": "k1", "--org": "A", "--issuer": "M", "--days": "1", "--entitlement": "apply"}
BAD: dict[str, tuple[dict[str, str | None], str]] = {
    "no entitlement": ({"--entitlement": None}, "opens nothing"),
    "entitlement in capitals": ({"--entitlement": "Apply"}, "entitlements"),
    "empty organisation": ({"--org": ""}, "$.org"),
    "hidden character": ({"--org": "A\u202eB"}, "$.org"),
    "two lines": ({"--issuer": "A\nB"}, "$.issuer"),
    "another form of the same letter": ({"--org": "e\u0301"}, "$.org"),
    "half of a surrogate pair": ({"--org": "a\udc80"}, "cannot be signed"),
    "long organisation": ({"--org": "x" * 201}, "$.org"),
    "no days": ({"--days": "0"}, "--days"),
    "negative days": ({"--days": "-3"}, "--days"),
    "too many days": ({"--days": "9999999"}, "--days"),
    "days that are none": ({"--days": "soon"}, "--days"),
    "key nobody has": ({"--kid": "k9"}, "does not list"),
    "key with a path": ({"--kid": "../k1"}, "does not list"),
    "folder nobody has": ({"--folder": "nowhere"}, "does not list"),
    "empty binding": ({"--bind-host": ""}, "host"),
}


@pytest.mark.parametrize("row", BAD)
def test_bad_input_is_one_line_and_no_licence(run: Run, row: str) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    changed, text = BAD[row]
    words = {name: value for name, value in (ISSUE | changed).items() if value is not None}
    refused(run("issue", "--out", "d.json", *(word for pair in words.items() for word in pair)), text)
    assert not Path("d.json").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("keys", "--folder", "keys", "--kid", "../up"), "no name of a key"),
        (("keys", "--folder", "keys", "--kid", ""), "no name of a key"),
        (("keys", "--folder", "keys", "--kid", "a", "--passphrase", "x"), "--passphrase"),
        (("keys", "--folder", "keys"), "--kid"),
        (("rotate", "--folder", "none", "--kid", "a"), "no key"),
        (("rotate", "--folder", "keys"), "--retire"),
        (("revoke", "--folder", "none", "--kid", "a"), "no folder of keys"),
        (("revoke", "--folder", "keys"), "give either"),
        (("revoke", "--folder", "keys", "--digest", "md5:1"), "digest"),
        (("inspect", "none"), "cannot read"),
        (("nonsense",), "nonsense"),
    ],
)
def test_bad_words_are_one_line(run: Run, words: tuple[str, ...], text: str) -> None:
    refused(run(*words), text)


def test_a_damaged_keyring_stops_everything(run: Run) -> None:
    done(run("keys", "--folder", "keys", "--kid", "k1"))
    Path("keys/keyring.json").write_text('{"k1": "AA"}')
    refused(run("keys", "--folder", "keys", "--kid", "k2"), "keyring")
    refused(run("revoke", "--folder", "keys", "--kid", "k1"), "keyring")
    assert Path("keys/keyring.json").read_text() == '{"k1": "AA"}'
