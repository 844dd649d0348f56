"""A worker that makes durable what it wrote fifty times a second instead of once.

A small job leaves something to resume with it, wherever it is cut off.
"""

from __future__ import annotations

import sys

_CODE = """
from app.worker import main, pipeline
pipeline._CHECKPOINT_SECONDS = 0.02
raise SystemExit(main.main())
"""
COMMAND = [sys.executable, "-c", _CODE]
