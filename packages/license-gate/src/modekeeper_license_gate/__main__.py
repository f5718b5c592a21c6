"""``python -m modekeeper_license_gate``."""

import sys

from modekeeper_license_gate.main import main

sys.exit(main())
