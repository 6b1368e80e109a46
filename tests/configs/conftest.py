"""Let the tests of this folder import its lists and the canary by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
