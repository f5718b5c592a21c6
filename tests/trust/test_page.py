"""docs/LICENSING.md and the code say the same; and what a library costs is paid only where it is used."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.trust import test_attacks, test_chain, test_check, test_command, test_finding

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "LICENSING.md").read_text(encoding="utf-8")
CHECK = (ROOT / "packages" / "modekeeper" / "src" / "modekeeper" / "trust" / "check.py").read_text(encoding="utf-8")

CODES = {
    *(attack.code for attack in test_attacks.ATTACKS.values()),
    *(code for _, code, _ in test_chain.ATTACKS.values()),
    *(code for _, code in test_check.BAD_KEYRINGS.values()),
    *(code for _, _, code in test_command.REFUSED.values()),
    *(code for _, code in test_finding.FILES.values()),
}
"""Every failure code a test has seen."""


@pytest.mark.parametrize("code", sorted(CODES))
def test_the_page_names_every_failure_code(code: str) -> None:
    told = {code, code.removeprefix("keyring_"), code.removeprefix("keyset_"), code.removeprefix("license_file_")}
    told |= {code.removeprefix("keyring_file_"), re.sub("^(host|org)_", "cluster_", code)}
    assert any(f"`{name}`" in PAGE for name in told)


def test_the_steps_have_the_same_numbers_in_code_and_page() -> None:
    rows = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)]
    assert rows == list(range(1, 10))
    body = CHECK[CHECK.index("# Step 1") : CHECK.index("def _key_stop")]
    named = [int(number) for words in re.findall(r"# Steps? ([^:]+):", body) for number in re.findall(r"\d+", words)]
    assert named == [1, 2, 3, 4, 6, 7, 9], "step 1, 2 and 3, 4 to 6, 7 to 9"


@pytest.mark.parametrize("module", ["check", "finding", "chain", "state", "keyring"])
def test_importing_trust_loads_no_cryptography(module: str) -> None:
    code = f"import json, sys, modekeeper.trust.{module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert not {"cryptography", "rfc8785", "numpy", "click"} & set(loaded)
