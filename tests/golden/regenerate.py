"""Writes the golden files anew. Read the difference before you commit it.

python -m tests.golden.regenerate
"""

import shutil
import tempfile
from pathlib import Path

from tests.golden.cases import CASES, EXPECTED, golden, run_case, tree


def main() -> None:
    shutil.rmtree(EXPECTED, ignore_errors=True)
    for name in CASES:
        with tempfile.TemporaryDirectory() as folder:
            _, out = run_case(name, Path(folder))
            for file, data in golden(tree(out)).items():
                place = EXPECTED / name / file
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
        print(name)


if __name__ == "__main__":
    main()
