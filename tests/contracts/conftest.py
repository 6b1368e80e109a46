"""Let tests, and the processes that they start, import the synthetic federation by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
