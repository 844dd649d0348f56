"""The tests here share files with a script, so their folder is on the path for both."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
