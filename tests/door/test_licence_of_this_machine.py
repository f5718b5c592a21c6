"""The licence as the door is given it: with what is known of this place, its organisation included."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.door.doors import Clock
from tests.trust.signing import b64, dumped, licence, public_bytes

from modekeeper.artifacts.contracts.k8s_apply import LicensePart
from modekeeper.model.decision import BlockReason
from modekeeper_pro.actuator import _Licence


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.json").write_bytes(dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}))
    return {"MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(tmp_path / "keys.json"), "XDG_STATE_HOME": str(tmp_path)}


def checked(environment: dict[str, str], **said: str) -> LicensePart:
    Path("modekeeper.license.json").write_bytes(licence(bindings={"org": "Acme GmbH"}))
    clock = Clock()
    clock.time += timedelta(days=1)
    return _Licence(path=None, environment=environment | said, clock=clock).check("3c1f-uid")


def test_a_licence_bound_to_an_organisation_is_met_by_the_one_that_was_told(environment: dict[str, str]) -> None:
    part = checked(environment, MODEKEEPER_ORG="Acme GmbH")
    assert (part.license_ok, part.reason) == (True, None)
    assert part.org == "Acme GmbH"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({}, "org_unknown"),
        ({"MODEKEEPER_ORG": ""}, "org_unknown"),
        ({"MODEKEEPER_ORG": "Evil Inc"}, "org_mismatch"),
        ({"MODEKEEPER_ORG": "acme gmbh"}, "org_mismatch"),
        ({"MODEKEEPER_ORG": "Acme GmbH "}, "org_mismatch"),
    ],
)
def test_an_organisation_that_is_another_or_not_told_stops_it(
    said: dict[str, str], code: str, environment: dict[str, str]
) -> None:
    part = checked(environment, **said)
    assert (part.license_ok, part.reason, part.failure_code) == (False, BlockReason.BINDING_MISMATCH, code)
    if code == "org_unknown":
        assert "set MODEKEEPER_ORG" in (part.failure_detail or "")
