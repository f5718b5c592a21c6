"""docs/APPROVALS.md and the code say the same."""

import re
from pathlib import Path

import pytest
from tests.trust import test_approval_attacks, test_finding

from modekeeper.trust.approval import LONGEST_APPROVAL_DAYS
from modekeeper.trust.documents import ApprovalDocument

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "APPROVALS.md").read_text(encoding="utf-8")
CHECK = ROOT / "packages" / "modekeeper" / "src" / "modekeeper" / "trust" / "check_approval.py"
TESTS = Path(test_approval_attacks.__file__).read_text(encoding="utf-8")

CODES = {
    *(attack.code for attack in test_approval_attacks.ATTACKS.values()),
    *(f"approval_file_{code}" for _, code in test_finding.FILES.values()),
    *re.findall(r'_Stop\(\s*"(\w+)"', CHECK.read_text(encoding="utf-8")),
    "approvers_not_given",
    "approver_is_issuer",
}
"""Every failure code that a test has seen or the check can give."""


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_page_names_every_failure_code(code: str) -> None:
    assert f"`{code}`" in PAGE or f"`…_{code.removeprefix('approval_file_')}`" in PAGE


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_failure_code_is_seen_in_a_test(code: str) -> None:
    assert code.removeprefix("approval_file_") in TESTS + Path(test_finding.__file__).read_text(encoding="utf-8")


def test_the_steps_have_the_same_numbers_in_code_and_page() -> None:
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert rows == list(range(1, 10))
    text = CHECK.read_text(encoding="utf-8")
    body = text[text.index("# Step 1") : text.index("def _key_stop")]
    named = [int(number) for words in re.findall(r"# Steps? ([^:]+):", body) for number in re.findall(r"\d+", words)]
    assert named == [1, 2, 3, 4, 6, 7, 9], "step 1, 2 and 3, 4 to 6, 7 to 9"


def test_the_page_names_every_field_and_the_longest_time() -> None:
    assert [name for name in ApprovalDocument.__struct_fields__ if f"| `{name}`" not in PAGE] in ([], ["expires_at"])
    assert f"at most {LONGEST_APPROVAL_DAYS} days apart" in PAGE
