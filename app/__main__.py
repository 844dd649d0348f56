"""`nibble` opens the window; `nibble worker` runs one job; any other word is a command."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Pick the program by the first argument."""
    # Threads of torch that wait shall sleep: spinning, they make every other program on this
    # computer slow, and themselves several times slower when one of those needs a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # CUDA numbers cards by speed unless told to go by address, as the driver's library does.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    arguments = sys.argv[1:]
    if arguments[:1] == ["worker"]:
        from app.worker.main import main as worker

        return worker()
    if arguments:
        from app.commands.program import run

        return run(arguments)
    return _window()


def _window() -> int:
    from app.core.desktop import missing_library, no_display

    program = "python -m app" if sys.argv[0].endswith("__main__.py") else "nibble"
    reason = no_display(program)
    if not reason:
        try:
            from app.ui.application import run
        except ImportError as error:
            if "PySide6" not in str(error) and not str(error).startswith("lib"):
                raise
            reason = missing_library(error, program)
        else:
            return run(sys.argv[:1])
    sys.stderr.write(reason + "\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
