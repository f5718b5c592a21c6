"""``mk license verify`` as a process: exit code, one line, artifacts."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_commands import mk
from tests.published import check_all
from tests.trust.signing import b64, dumped, licence, public_bytes
from tests.trust.test_chain import ROOT, keyset

PINNED = "2026-06-01T12:00:00Z"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "keys.json").write_bytes(dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}))
    (tmp_path / "good.json").write_bytes(licence())
    (tmp_path / "unknown-kid.json").write_bytes(licence(kid="evil", key="evil"))
    (tmp_path / "expired.json").write_bytes(licence(expires_at="2026-02-01T00:00:00Z"))
    (tmp_path / "bound.json").write_bytes(licence(bindings={"cluster": "3c1f-uid"}))
    (tmp_path / "evil.json").write_bytes(b'{"a\\u001b[31m":1,"a\\u001b[31m":2}')
    (tmp_path / "root.json").write_bytes(ROOT)
    (tmp_path / "keyset.json").write_bytes(keyset())
    (tmp_path / "older.json").write_bytes(keyset(version=2))
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    return tmp_path


def report_of(folder: Path) -> dict[str, Any]:
    out = folder / "report" / "license-verify"
    assert check_all(out) >= 2
    found: dict[str, Any] = json.loads((out / "license_verify_latest.json").read_text())
    return found


def run(folder: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    home = {"HOME": str(folder), "MODEKEEPER_PINNED_CLOCK": PINNED, "XDG_STATE_HOME": ""}
    done = mk("license", "verify", *words, cwd=folder, stdin=None, **home | environment)
    return done.returncode, done.stdout, done.stderr


def test_an_organisation_is_told_by_the_option_or_else_by_the_environment(folder: Path) -> None:
    (folder / "of-acme.json").write_bytes(licence(bindings={"org": "Acme GmbH"}))
    words = ("--license", "of-acme.json", "--keyring", "keys.json")
    code, out, error = run(folder, *words)
    assert (code, "failure_code=org_unknown" in out, "set MODEKEEPER_ORG" in error) == (2, True, True)
    assert run(folder, *words, MODEKEEPER_ORG="Acme GmbH")[0] == 0
    assert run(folder, *words, "--org", "Acme GmbH", MODEKEEPER_ORG="Evil")[0] == 0
    code, out, _ = run(folder, *words, "--org", "Evil", MODEKEEPER_ORG="Acme GmbH")
    assert (code, "failure_code=org_mismatch" in out) == (2, True)


def test_a_good_licence(folder: Path) -> None:
    code, out, _ = run(folder, "--license", "good.json", "--keyring", "keys.json", "--wanted", "apply")
    assert code == 0
    assert out == (
        "license_ok=true reason=license_ok failure_code=none kid=vendor-2026 expires_at=2027-01-01T00:00:00.000Z "
        "entitlements=apply,advanced report=report/license-verify/license_verify_latest.json\n"
    )
    report = report_of(folder)
    assert report["schema_version"] == "license_verify.v0"
    assert report["license_ok"] is True
    assert report["reason_code"] is report["failure_code"] is report["failure_detail"] is None
    assert report["issuer"] == "ModeKeeper"
    assert report["expiry"] == report["expires_at"] == "2027-01-01T00:00:00.000Z"
    assert report["entitlements_summary"] == "apply, advanced"


REFUSED = {
    "not there": (
        ["--license", "nowhere.json", "--keyring", "keys.json"],
        "license_invalid",
        "license_file_unreadable",
    ),
    "nowhere": (["--keyring", "keys.json"], "license_missing", "license_not_found"),
    "unknown kid": (["--license", "unknown-kid.json", "--keyring", "keys.json"], "license_invalid", "kid_unknown"),
    "expired": (["--license", "expired.json", "--keyring", "keys.json"], "license_expired", "license_expired"),
    "no cluster told": (["--license", "bound.json", "--keyring", "keys.json"], "binding_mismatch", "cluster_unknown"),
    "another cluster": (
        ["--license", "bound.json", "--keyring", "keys.json", "--cluster-uid", "x"],
        "binding_mismatch",
        "cluster_mismatch",
    ),
    "not granted": (
        ["--license", "good.json", "--keyring", "keys.json", "--wanted", "apply", "--wanted", "fleet"],
        "entitlement_missing",
        "entitlement_missing",
    ),
    "no keyring": (["--license", "good.json", "--keyring", "no.json"], "license_invalid", "keyring_file_unreadable"),
    "the package's keyring": (["--license", "good.json"], "license_invalid", "kid_unknown"),
    "hostile": (["--license", "evil.json", "--keyring", "keys.json"], "license_invalid", "duplicate_key"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_an_artifact_and_one_line(folder: Path, name: str) -> None:
    words, reason, failure = REFUSED[name]
    code, out, err = run(folder, *words)
    assert code == 2
    assert out.startswith(f"license_ok=false reason={reason} failure_code={failure} ")
    errors = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"ERROR: {reason}: ")
    assert errors[0].isprintable()
    report = report_of(folder)
    assert (report["license_ok"], report["reason"], report["reason_code"]) == (False, reason, reason)
    assert report["failure_code"] == failure


def test_a_binding_is_met_by_what_is_told(folder: Path) -> None:
    assert run(folder, "--license", "bound.json", "--keyring", "keys.json", "--cluster-uid", "3c1f-uid")[0] == 0


def test_the_environment_names_licence_and_keyring(folder: Path) -> None:
    code, _, _ = run(folder, MODEKEEPER_LICENSE_PATH="good.json", MK_LICENSE_GATE_PUBLIC_KEYS_PATH="keys.json")
    assert code == 0
    assert (report_of(folder)["license_source"], report_of(folder)["keyring_source"]) == ("environment", "environment")


def test_the_old_switches_open_nothing(folder: Path) -> None:
    code, _, _ = run(folder, "--license", "good.json", MODEKEEPER_PAID="1", MODEKEEPER_INTERNAL_OVERRIDE="1")
    assert code == 2


def test_the_trust_chain(folder: Path) -> None:
    words = ["--license", "good.json", "--root-keyring", "root.json", "--trust-state", "state.json"]
    clock = {"MODEKEEPER_PINNED_CLOCK": ""}
    (folder / "keyset.json").write_bytes(keyset(issued_at="2020-01-01T00:00:00Z", expires_at="9000-01-01T00:00:00Z"))
    (folder / "good.json").write_bytes(licence(issued_at="2020-01-01T00:00:00Z", expires_at="9000-01-01T00:00:00Z"))
    assert run(folder, *words, "--issuer-keyset", "keyset.json", **clock)[0] == 0
    assert report_of(folder)["keyset_version"] == 3
    assert json.loads((folder / "state.json").read_text())["keyset_version"] == 3
    assert run(folder, *words, "--issuer-keyset", "older.json", **clock)[0] == 2
    assert report_of(folder)["failure_code"] == "keyset_rolled_back"
    # And the clock of this machine was kept: a time long before it is noticed.
    assert run(folder, *words, "--issuer-keyset", "keyset.json", MODEKEEPER_PINNED_CLOCK="2021-01-01T00:00:00Z")[0] == 2
    assert report_of(folder)["failure_code"] == "keyset_clock_set_back"


def test_a_pinned_clock_teaches_nothing(folder: Path) -> None:
    assert run(folder, "--license", "good.json", "--keyring", "keys.json", "--trust-state", "state.json")[0] == 0
    assert not (folder / "state.json").exists()
    assert "the clock is pinned" in "".join(report_of(folder)["notes"])


def test_a_damaged_state_stops_every_licence(folder: Path) -> None:
    (folder / "state.json").write_text("{")
    code, _, _ = run(folder, "--license", "good.json", "--keyring", "keys.json", "--trust-state", "state.json")
    assert code == 2
    assert report_of(folder)["failure_code"] == "trust_state_file_damaged"


def test_half_a_chain_is_bad_input(folder: Path) -> None:
    code, _, err = run(folder, "--license", "good.json", "--root-keyring", "root.json")
    assert code == 2
    assert "both or neither" in err
