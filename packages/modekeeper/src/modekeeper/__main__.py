"""``python -m modekeeper`` is ``mk``."""

import sys

from modekeeper.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
