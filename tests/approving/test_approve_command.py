"""``mk-approve``: what is signed is what was shown, it counts at the door, and secrets stay where they are."""

import base64
import json
import os
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.cluster_verify.worlds import plan_of
from tests.door.doors import KEY, Door, planned
from tests.trust.signing import b64, dumped, public_bytes

from modekeeper.artifacts.canonical import canonical_digest, document
from modekeeper.cli.clocks import PinnedClock
from modekeeper.model.decision import Actuation
from modekeeper.trust.finding import find_approvers
from modekeeper.trust.keyring import Keyring, read_keyring
from modekeeper.trust.passphrase import Passphrase
from modekeeper.trust.private_key_file import read_private_key_file
from modekeeper_pro.approving.main import PASSPHRASE_VARIABLE, main
from modekeeper_pro.door.apply import apply

PACKAGE = Path(__file__).parents[2] / "packages" / "modekeeper-pro" / "pyproject.toml"
SECRET = "correct-horse-battery-staple"  # noqa: S105 - of these tests
NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, SECRET)
    for name in ("MODEKEEPER_APPROVERS_PATH", "MK_LICENSE_GATE_PUBLIC_KEYS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        code = main(words, PinnedClock(NOW))
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def door(tmp_path: Path) -> Door:
    """A cold plan, its verification, and the files of both."""
    door = Door(tmp_path / "cluster", Actuation.COLD)
    (tmp_path / "plan.json").write_bytes(document(door.plan))
    (tmp_path / "verify.json").write_bytes(door.verification or b"")
    return door


def done(result: tuple[int, str, str]) -> str:
    assert result[0] == 0, result
    assert result[2] == ""
    return result[1]


def refused(result: tuple[int, str, str], text: str, code: int = 2) -> None:
    assert result[0] == code, result
    assert result[2].startswith("ERROR: ")
    assert result[2].count("\n") == 1
    assert text in result[2]


KEYGEN = ("keygen", "--kid", "ada", "--key", "ada.key.pem", "--public", "approvers.json")


def sign(*more: str, out: str = "approval.json") -> tuple[str, ...]:
    plain = ("--plan", "plan.json", "--key", "ada.key.pem", "--kid", "ada", "--approver", "Ada Lovelace")
    return ("sign", *plain, "--out", out, *more)


def applied(door: Door, path: str = "approval.json", approvers: str = "approvers.json") -> bool:
    request = door.request(approve_advanced=False, approval=Path(path).read_bytes())
    return apply(request, replace(door.ports, approvers=find_approvers(approvers, {}))).ok


def test_the_command_is_of_the_licensed_package() -> None:
    project = tomllib.loads(PACKAGE.read_text())["project"]
    assert project["scripts"] == {"mk-approve": f"{main.__module__}:{main.__name__}"}
    assert not any("gate" in needed for needed in project["dependencies"])


def test_what_is_signed_is_shown_first_and_counts_at_the_door(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    said = done(run(*sign("--verify-report", "verify.json", "--reason", "Monday's run was fine", "--yes")))
    shown = said.splitlines()
    assert shown[0] == f"plan {door.plan.digest}: 1 item"
    assert shown[1] == "1. Deployment train/trainer, chord DRIFT-RETUNE"
    assert "cold" in shown[2]
    assert "dataloader_prefetch_factor = 4 (now 2)" in said
    assert "predicted: restart" in said
    assert said.index("predicted") < said.index("signed by ada")
    made = json.loads(Path("approval.json").read_text())
    assert made["cluster_uid"] == json.loads(Path("verify.json").read_text())["cluster"]["uid"]
    assert (made["approved_at"], made["expires_at"]) == ("2026-01-31T09:00:00Z", "2026-02-01T09:00:00Z")
    assert applied(door)
    assert door.ours()["Deployment/trainer template"][KEY] == "4"


def test_without_a_verification_it_is_bound_to_no_cluster_and_says_so(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    said = done(run(*sign("--yes")))
    assert "not verified here" in said
    assert "for whichever cluster it is used on" in said
    assert "cluster_uid" not in json.loads(Path("approval.json").read_text())
    said = done(run(*sign("--yes", "--cluster-uid", "another")))
    assert "for the cluster another alone" in said
    assert not applied(door)
    assert door.writer.stored == []


def test_nobody_there_to_say_yes_signs_nothing(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    code, said, error = run(*sign())
    assert code == 2
    assert said.startswith(f"plan {door.plan.digest}")
    assert "nobody is there to say yes" in error
    assert not Path("approval.json").exists()


@pytest.mark.parametrize(("answer", "signed"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_one_is_asked(answer: str, signed: bool, run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    leader, follower = os.openpty()
    package = Path(__file__).parents[2] / "packages"
    sources = [package / name / "src" for name in ("modekeeper", "modekeeper-pro")]
    code = "import sys; from modekeeper_pro.approving.main import main; sys.exit(main(sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sources)), PASSPHRASE_VARIABLE: SECRET}
    with subprocess.Popen(
        [sys.executable, "-c", code, *sign()],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        os.close(follower)
        os.write(leader, answer.encode())
        out, _error = process.communicate(timeout=60)
    os.close(leader)
    assert b"Sign it?" in out
    assert (process.returncode == 0) is signed
    assert Path("approval.json").exists() is signed


BAD_PLANS = {
    "none": b"{}",
    "one that was changed": b"",
    "one without items": document(plan_of()),
}


@pytest.mark.parametrize("name", BAD_PLANS)
def test_a_plan_that_is_none_is_not_signed(name: str, run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    changed = document(door.plan).replace(b'"4"', b'"8"', 1)
    Path("plan.json").write_bytes(changed if name == "one that was changed" else BAD_PLANS[name])
    refused(run(*sign("--yes")), "")
    assert not Path("approval.json").exists()


def test_a_verification_that_does_not_stand_for_the_plan_is_not_passed_over(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    other = plan_of(planned(Actuation.COLD, value="3"))
    Path("other.json").write_bytes(door.verified(other))
    refused(run(*sign("--yes", "--verify-report", "other.json")), "another plan")
    Path("broken.json").write_bytes(Path("verify.json").read_bytes().replace(b"restart", b"hot", 1))
    refused(run(*sign("--yes", "--verify-report", "broken.json")), "does not stand for this plan")
    refused(run(*sign("--yes", "--verify-report", "verify.json", "--cluster-uid", "x")), "different clusters")
    forged = json.loads(Path("verify.json").read_text())
    for items in ([], [forged["items"][0] | {"name": "another"}], [*forged["items"], forged["items"][0]]):
        made = {key: value for key, value in forged.items() if key != "verification_digest"} | {"items": items}
        Path("forged.json").write_bytes(document(made | {"verification_digest": canonical_digest(made)}))
        refused(run(*sign("--yes", "--verify-report", "forged.json")), "not of the items of this plan")
    assert not Path("approval.json").exists()


def test_what_would_not_count_is_not_signed(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    done(run("keygen", "--kid", "ada", "--key", "other.key.pem"))
    keys = ("--plan", "plan.json", "--approver", "A", "--out", "a.json", "--yes", "--approvers", "approvers.json")
    refused(run("sign", *keys, "--key", "ada.key.pem", "--kid", "bob"), "kid_unknown")
    refused(run("sign", *keys, "--key", "other.key.pem", "--kid", "ada"), "signature_mismatch")
    ring = json.loads(Path("approvers.json").read_text())
    Path("approvers.json").write_text(json.dumps(ring | {"revoked_kids": ["ada"]}))
    refused(run("sign", *keys, "--key", "ada.key.pem", "--kid", "ada"), "kid_revoked")
    refused(run(*sign("--yes", "--approvers", "nowhere.json")), "cannot be read")
    assert not Path("a.json").exists()
    assert not Path("approval.json").exists()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--hours", "0"), "--hours"),
        (("--hours", "169"), "--hours"),
        (("--reason", "two\nlines"), "on one line"),
        (("--cluster-uid", ""), "visible characters"),
        (("--key", "none.pem"), "cannot read the private key"),
        (("--kid", "../ada"), "must be all"),
        (("--plan", "none.json"), "cannot read"),
    ],
)
def test_bad_input_is_one_line_and_no_approval(more: tuple[str, ...], text: str, run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    refused(run(*sign("--yes", *more)), text)
    assert not Path("approval.json").exists()


def test_the_longest_that_may_be_asked_for_is_what_may_be_read(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    done(run(*sign("--yes", "--hours", "168")))
    assert json.loads(Path("approval.json").read_text())["expires_at"] == "2026-02-07T09:00:00Z"


def test_an_approval_says_what_it_is(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    done(run(*sign("--yes", "--verify-report", "verify.json")))
    said = done(run("inspect", "approval.json"))
    assert f"approval of the plan {door.plan.digest}" in said
    assert "by Ada Lovelace, key ada" in said
    assert "not verified" in said
    assert "good: signed by ada" in done(
        run("inspect", "approval.json", "--plan", "plan.json", "--approvers", "approvers.json")
    )
    Path("other.json").write_bytes(document(plan_of(planned(Actuation.COLD, value="3"))))
    for more, code in (
        (("--plan", "other.json", "--approvers", "approvers.json"), "plan_mismatch"),
        (("--plan", "other.json"), "not of the plan"),
        (("--cluster-uid", "x", "--approvers", "approvers.json"), "cluster_mismatch"),
    ):
        result = run("inspect", "approval.json", *more)
        assert (result[0], code in result[1]) == (2, True), result
    Path("bob.json").write_bytes(dumped({"bob": b64(public_bytes("bob"))}))
    assert run("inspect", "approval.json", "--approvers", "bob.json")[0] == 2
    refused(run("inspect", "plan.json"), "must be")


def test_no_secret_is_in_anything_that_is_written_or_said(run: Run, door: Door, tmp_path: Path) -> None:
    said = [run(*KEYGEN), run(*sign("--yes")), run("inspect", "approval.json")]
    key = read_private_key_file(Path("ada.key.pem"), Passphrase(SECRET.encode()), "the key")
    raw = key.private_bytes_raw()
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    secrets = [SECRET.encode(), raw, der, raw.hex().encode(), base64.b64encode(raw)[:-2], base64.b64encode(der)[:-3]]
    texts = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    texts += ["".join(map(str, each)).encode() for each in said]
    assert [secret for secret in secrets for text in texts if secret in text] == []
    assert all(code == 0 for code, _out, _error in said)


def test_a_private_key_is_for_its_owner_alone_and_never_overwritten(run: Run) -> None:
    before = os.umask(0)
    try:
        done(run(*KEYGEN))
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("ada.key.pem").stat().st_mode) == 0o600
    first = Path("ada.key.pem").read_bytes()
    refused(run(*KEYGEN), "already")
    assert Path("ada.key.pem").read_bytes() == first
    words = ["openssl", "asn1parse", "-in", "ada.key.pem"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert ":scrypt" in shown
    assert ":aes-256-cbc" in shown


def test_a_name_that_is_none_makes_no_key(run: Run) -> None:
    refused(run("keygen", "--kid", "a b", "--key", "x.pem"), "no name of a key")
    assert not Path("x.pem").exists()


def test_the_public_half_is_told_and_is_a_keyring(run: Run) -> None:
    said = done(run(*KEYGEN))
    ring = read_keyring(Path("approvers.json").read_bytes())
    told = read_keyring(said.splitlines()[-1].encode())
    assert told == ring
    assert isinstance(ring, Keyring)
    assert set(ring.keys) == {"ada"}
    again = done(run("public", "--key", "ada.key.pem", "--kid", "ada", "--out", "again.json"))
    assert read_keyring(Path("again.json").read_bytes()) == ring
    assert read_keyring(again.splitlines()[-1].encode()) == ring
    refused(run("public", "--key", "none.pem", "--kid", "ada"), "cannot read the private key")


def test_a_disk_that_is_full_leaves_nothing_half_made(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "hardlink_to", fail)
        refused(run(*KEYGEN), "no space left", 1)
    assert list(Path().iterdir()) == []


def test_a_wrong_passphrase_is_one_clear_line(run: Run, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    done(run(*KEYGEN))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "another-passphrase")
    refused(run(*sign("--yes")), "the passphrase does not open the private key 'ada.key.pem'")
    monkeypatch.delenv(PASSPHRASE_VARIABLE)
    refused(run(*sign("--yes")), PASSPHRASE_VARIABLE)
    assert not Path("approval.json").exists()


def test_it_ends_when_it_says(run: Run, door: Door) -> None:
    done(run(*KEYGEN))
    done(run(*sign("--yes", "--hours", "1")))
    door.verification = door.verified(door.plan, valid_for_s=86_400)
    door.clock.time += timedelta(hours=1)
    assert not applied(door)
    door.clock.time -= timedelta(seconds=1)
    assert applied(door)
