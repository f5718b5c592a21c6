"""Where a licence and a keyring are looked for, and which files are not read."""

import os
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trust.signing import KEYRING, NOW, b64, dumped, licence, public_bytes

from modekeeper.trust.check import LicenseFacts, check_license
from modekeeper.trust.faults import KeyringError, LicenseFileError, TrustStateError
from modekeeper.trust.finding import LICENSE_FILE, find_keyring, find_license
from modekeeper.trust.keyring import EMPTY_KEYRING, Keyring
from modekeeper.trust.state import TrustState, TrustStateFile, merged, state_after, state_path


@pytest.fixture
def places(tmp_path: Path) -> dict[str, Path]:
    """A licence in each place it is looked for."""
    made = {"option": tmp_path / "a.json", "environment": tmp_path / "b.json", "folder": tmp_path / LICENSE_FILE}
    for name, path in made.items():
        path.write_bytes(licence(org=name))
        path.chmod(0o644)
    return made


@pytest.mark.parametrize("gone", range(4))
def test_the_order_of_the_places(places: dict[str, Path], tmp_path: Path, gone: int) -> None:
    left = list(places)[gone:]
    for name in list(places)[:gone]:
        places[name].unlink()
    found = find_license(
        str(places["option"]) if "option" in left else None,
        {"MODEKEEPER_LICENSE_PATH": str(places["environment"])} if "environment" in left else {},
        tmp_path,
    )
    if not left:
        assert (found.source, found.path, found.data) == ("none", None, None)
    else:
        assert (found.source, found.path, found.data) == (left[0], str(places[left[0]]), licence(org=left[0]))


@pytest.mark.parametrize("place", ["option", "environment"])
def test_a_place_that_is_named_hides_the_later_ones(places: dict[str, Path], tmp_path: Path, place: str) -> None:
    nowhere = str(tmp_path / "nowhere.json")
    option = nowhere if place == "option" else None
    found = find_license(option, {"MODEKEEPER_LICENSE_PATH": nowhere}, tmp_path)
    assert isinstance(found.data, LicenseFileError)
    assert found.data.code == "license_file_unreadable"
    assert found.source == place


def test_a_variable_that_is_empty_names_nothing(places: dict[str, Path], tmp_path: Path) -> None:
    assert find_license(None, {"MODEKEEPER_LICENSE_PATH": ""}, tmp_path).source == "folder"


def test_an_option_that_is_empty_names_a_licence_that_is_not_there(places: dict[str, Path], tmp_path: Path) -> None:
    assert isinstance(find_license("", {}, tmp_path).data, LicenseFileError)


def linked(folder: Path, good: bytes) -> Path:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "real").write_bytes(good)
    (folder / "here").mkdir()
    (folder / "here" / "file").symlink_to(folder / "elsewhere" / "real")
    return folder / "here" / "file"


def writable(folder: Path, good: bytes) -> Path:
    (folder / "file").write_bytes(good)
    (folder / "file").chmod(0o666)
    return folder / "file"


def pipe(folder: Path, good: bytes) -> Path:
    os.mkfifo(folder / "file")
    return folder / "file"


def dangling(folder: Path, good: bytes) -> Path:
    (folder / "file").symlink_to(folder / "nothing")
    return folder / "file"


def loop(folder: Path, good: bytes) -> Path:
    (folder / "file").symlink_to(folder / "file")
    return folder / "file"


def a_folder(folder: Path, good: bytes) -> Path:
    (folder / "file").mkdir()
    return folder / "file"


def large(folder: Path, good: bytes) -> Path:
    (folder / "file").write_bytes(good + b" " * 10_000_000)
    return folder / "file"


def odd_name(folder: Path, good: bytes) -> Path:
    return folder / "a\0b"


FILES = {
    "a link to another folder": (linked, "is_link"),
    "everybody may write it": (writable, "world_writable"),
    "a pipe nobody writes to": (pipe, "not_regular"),
    "a folder": (a_folder, "not_regular"),
    "a link to nothing": (dangling, "unreadable"),
    "a link to itself": (loop, "unreadable"),
    "10 MB": (large, "too_large"),
    "a name no file can have": (odd_name, "unreadable"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_read(name: str, tmp_path: Path) -> None:
    make, code = FILES[name]
    (tmp_path / "l").mkdir()
    (tmp_path / "k").mkdir()
    found = find_license(str(make(tmp_path / "l", licence())), {}, tmp_path)
    assert isinstance(found.data, LicenseFileError)
    assert found.data.code == f"license_file_{code}"
    assert found.data.detail.isprintable()
    ring = find_keyring(str(make(tmp_path / "k", b"{}")), {})
    assert isinstance(ring.keyring, KeyringError)
    assert ring.keyring.code == f"keyring_file_{code}"


def test_files_as_kubernetes_mounts_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "..2026_01").mkdir()
    (tmp_path / "..2026_01" / "license.json").write_bytes(licence())
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "license.json").symlink_to("..data/license.json")
    assert find_license(str(tmp_path / "license.json"), {}, tmp_path).data == licence()


def test_a_keyring_in_a_folder_of_everybody_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(dumped({"vendor-2026": b64(public_bytes("vendor-2026"))}))
    found = find_keyring(None, {"MK_LICENSE_GATE_PUBLIC_KEYS_PATH": str(path)})
    assert found.source == "environment"
    assert isinstance(found.keyring, Keyring)
    assert found.keyring.keys == {"vendor-2026": public_bytes("vendor-2026")}
    tmp_path.chmod(0o777)
    refused = find_keyring(str(path), {}).keyring
    assert isinstance(refused, KeyringError)
    assert refused.code == "keyring_file_folder_world_writable"


def test_the_keyring_of_the_package_is_empty() -> None:
    found = find_keyring(None, {})
    assert (found.source, found.path, found.keyring) == ("packaged", None, EMPTY_KEYRING)


def test_what_was_seen_survives_on_disk_and_only_grows(tmp_path: Path) -> None:
    file = TrustStateFile(tmp_path / "deep" / "trust_state.json")
    fresh = file.load()
    assert fresh == TrustState()
    good = check_license(licence(), keyring=KEYRING, facts=LicenseFacts(), now=NOW, wanted=())
    state = state_after(fresh, good, NOW)
    assert state.newest_seen == NOW
    assert state_after(state, good, NOW - timedelta(minutes=5)) == state
    file.save(state)
    assert file.load() == state
    facts = LicenseFacts(newest_seen=state.newest_seen)
    back = check_license(licence(), keyring=KEYRING, facts=facts, now=NOW - timedelta(hours=1), wanted=())
    assert back.failure_code == "clock_set_back"
    assert state_after(state, back, NOW - timedelta(hours=1)) == state


@pytest.mark.parametrize(
    ("data", "now"),
    [(licence(key="evil"), NOW), (b"{}", NOW), (licence(issued_at="2026-07-01T00:00:00Z"), NOW)],
    ids=["not signed", "none", "from the future"],
)
def test_nothing_is_learned_from_a_licence_that_proves_nothing(data: bytes, now: object) -> None:
    verdict = check_license(data, keyring=KEYRING, facts=LicenseFacts(), now=NOW, wanted=())
    assert state_after(TrustState(), verdict, NOW) == TrustState()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"schema_version":"trust_state.v2"}',
        b'{"newest_issued_at":"2026-01-01T00:00:00"}',
        b'{"keyset_version":-1}',
        b'{"more":1}',
        b"\xff",
    ],
)
def test_a_damaged_state_is_not_taken_for_a_fresh_one(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "trust_state.json"
    path.write_bytes(data)
    with pytest.raises(TrustStateError):
        TrustStateFile(path).load()


def test_two_processes_lose_nothing_of_each_other(tmp_path: Path) -> None:
    file = TrustStateFile(tmp_path / "trust_state.json")
    file.save(TrustState(newest_verified_at=NOW, keyset_version=7, keyset_digest="sha256:7"))
    file.save(TrustState(newest_verified_at=NOW - timedelta(days=1), newest_issued_at=NOW, keyset_version=6))
    assert file.load() == TrustState(
        newest_verified_at=NOW, newest_issued_at=NOW, keyset_version=7, keyset_digest="sha256:7"
    )


MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
STATES = st.builds(TrustState, newest_issued_at=MOMENTS, newest_verified_at=MOMENTS, keyset_version=st.integers(0, 5))


@given(STATES, STATES)
def test_what_was_seen_only_grows(one: TrustState, other: TrustState) -> None:
    both = merged(one, other)
    assert merged(both, one) == merged(both, other) == both
    for earlier in (one, other):
        assert earlier.keyset_version <= both.keyset_version
        assert earlier.newest_seen is None or (both.newest_seen is not None and earlier.newest_seen <= both.newest_seen)


def test_a_state_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TrustStateError, match="--trust-state"):
        TrustStateFile(tmp_path / "file" / "trust_state.json").save(TrustState())


def test_where_the_state_is() -> None:
    assert state_path({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == Path("/s/modekeeper/trust_state.json")
    assert state_path({"XDG_STATE_HOME": "relative", "HOME": "/h"}) == Path(
        "/h/.local/state/modekeeper/trust_state.json"
    )
    assert state_path({}) is None
