"""`nibble` opens the window; `nibble worker` runs one job; any other word is a command."""

from __future__ import annotations

import sys


def main() -> int:
    """Pick the program by the first argument."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["worker"]:
        from app.worker.main import main as worker

        return worker()
    if arguments:
        from app.commands.program import run

        return run(arguments)
    from app.ui.application import run as window

    return window([sys.argv[0]])


if __name__ == "__main__":
    raise SystemExit(main())
