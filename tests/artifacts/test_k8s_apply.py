"""The report of an apply, as a reader of the file sees it."""

import msgspec
import pytest

from modekeeper.artifacts.contracts.k8s_apply import Receipt, receipt_digest

RECEIPT = Receipt(
    plan_digest="sha256:plan",
    kind="Deployment",
    namespace="ml",
    name="trainer",
    uid="u-1",
    place=("metadata", "annotations"),
    field_manager="modekeeper",
    resource_version_before="7",
    resource_version_after="8",
    written_at="2026-01-31T09:00:00.000Z",
    before={"modekeeper/knob.concurrency": None},
    after={"modekeeper/knob.concurrency": "4"},
    digest="",
)


@pytest.mark.parametrize("field", [name for name in Receipt.__struct_fields__ if name != "digest"])
def test_the_digest_of_a_receipt_covers_every_other_field(field: str) -> None:
    changed: dict[str, str | None] | str = {"other": None} if field in {"before", "after"} else "other"
    assert receipt_digest(msgspec.structs.replace(RECEIPT, **{field: changed})) != receipt_digest(RECEIPT)


def test_the_digest_of_a_receipt_does_not_cover_itself() -> None:
    digest = receipt_digest(RECEIPT)
    assert digest.startswith("sha256:")
    assert receipt_digest(msgspec.structs.replace(RECEIPT, digest=digest)) == digest
