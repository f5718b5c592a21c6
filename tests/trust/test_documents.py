"""The published schemas of what is signed: what is read fits them, and what does not fit is not read."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from tests.trust import approving, signing, test_approval_attacks, test_attacks, test_chain

from modekeeper.trust.approval import read_approval
from modekeeper.trust.faults import TrustError
from modekeeper.trust.issuer_keyset import read_issuer_keyset
from modekeeper.trust.keyring import read_keyring
from modekeeper.trust.license import read_license

KEYRING = signing.dumped(
    {
        "schema_version": "keyring.v1",
        "keys": {"ada": signing.b64(signing.public_bytes("ada"))},
        "revoked_kids": ["bob"],
        "revoked_licenses": [approving.PLAN],
    }
)
GOOD: dict[str, tuple[bytes, Callable[[bytes], Any]]] = {
    "license.v1": (signing.licence(bindings={"cluster": "3c1f-uid"}), read_license),
    "keyring.v1": (KEYRING, read_keyring),
    "issuer_keyset.v1": (test_chain.GOOD, read_issuer_keyset),
    "approval.v1": (approving.approval(), read_approval),
}


@cache
def validator(name: str) -> Any:
    schema = json.loads(files("modekeeper.artifacts").joinpath("schemas", f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("name", GOOD)
def test_what_is_read_fits_its_schema(name: str) -> None:
    data, read = GOOD[name]
    read(data)
    validator(name).validate(json.loads(data))


@pytest.mark.parametrize("name", GOOD)
def test_every_field_is_needed_or_optional_as_the_reader_has_it(name: str) -> None:
    data, read = GOOD[name]
    document = json.loads(data)
    for field in document:
        without = {key: value for key, value in document.items() if key != field}
        try:
            read(signing.dumped(without))
            taken = True
        except TrustError:
            taken = False
        assert validator(name).is_valid(without) is taken, field


@pytest.mark.parametrize("name", GOOD)
def test_a_field_nobody_knows_and_a_field_of_another_kind_do_not_fit(name: str) -> None:
    document = json.loads(GOOD[name][0])
    assert not validator(name).is_valid(document | {"note": "hello"})
    for field in document:
        assert not validator(name).is_valid(document | {field: 1.5}), field


@pytest.mark.parametrize("name", ["license.v1", "approval.v1"])
def test_what_does_not_fit_is_never_read(name: str) -> None:
    made = {
        "license.v1": [attack.data for attack in test_attacks.ATTACKS.values()],
        "approval.v1": [attack.data for attack in test_approval_attacks.ATTACKS.values()],
    }
    misfits = 0
    for make in made[name]:
        data = make()
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if validator(name).is_valid(document):
            continue
        misfits += 1
        with pytest.raises(TrustError):
            GOOD[name][1](data)
    assert misfits > 20
