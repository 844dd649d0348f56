"""Set Nibble up in an environment of its own, and start it. Standard library only.

    python dev.py                    set up, then open the window
    python dev.py quantize sample --format Q4_K_M
                                     any other words go to the application
    python dev.py test [pytest arguments]
                                     set up, then run every check and test
    python dev.py --cpu ...          Linux: take PyTorch's smaller build without CUDA

The environment is the folder `.venv` beside this file. It is set up again only when
`pyproject.toml` or `constraints.txt` has changed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
OLDEST, NEWEST = (3, 11), (3, 14)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
APP, EVERYTHING = "window,nvidia,sentencepiece", "dev"
_MOST_WORKERS = 4  # each takes half a gigabyte
CHECKS = {
    "ruff check": ("-m", "ruff", "check", "."),
    "ruff format": ("-m", "ruff", "format", "--check", "."),
    "mypy": ("-m", "mypy"),
    "lint-imports": ("-c", "from importlinter.cli import lint_imports_command as run; run()"),
}


def main(arguments: list[str]) -> int:
    """Set up what the arguments need, and run them."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        print(f"Nibble needs Python 3.{OLDEST[1]} to 3.{NEWEST[1]}; this is {sys.version}.")
        return 2
    cpu = "--cpu" in arguments
    arguments = [word for word in arguments if word != "--cpu"]
    testing = arguments[:1] == ["test"]
    if not set_up(EVERYTHING if testing else APP, cpu=cpu):
        print("\nSetting up failed; the lines above say why. Nothing outside .venv was changed.")
        return 2
    return test(arguments[1:]) if testing else run("-m", "app", *arguments)


def set_up(extras: str, *, cpu: bool) -> bool:
    """Make the environment, unless it is there and still what the project asks for."""
    files = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    stamp = VENV / f"ready-{extras.replace(',', '-')}"
    state = hashlib.sha256(files + sys.version.encode() + bytes([cpu])).hexdigest()
    if PYTHON.exists() and stamp.exists() and stamp.read_text() == state:
        return True
    print("Setting up .venv: a few minutes the first time, a second after that.", flush=True)
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True)
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    index = ["--extra-index-url", CPU_INDEX] if cpu else []
    if run(*pip, *index, "-c", "constraints.txt", "-e", f".[{extras}]", within=ROOT):
        return False
    stamp.write_text(state)
    return True


def test(arguments: list[str]) -> int:
    """Run every check and then the tests; the exit code is the first failure's."""
    for name, words in CHECKS.items():
        print(f"\n== {name}", flush=True)
        code = run(*words, within=ROOT)
        if code:
            return code
    print("\n== pytest", flush=True)
    # A file's tests stay together: they share what takes long to make.
    workers = ("-n", str(min(os.cpu_count() or 1, _MOST_WORKERS)), "--dist", "loadfile")
    return run("-m", "pytest", *workers, *arguments, within=ROOT)


def run(*arguments: str, within: Path | None = None) -> int:
    """Run the environment's Python and wait; Ctrl+C reaches the child, which ends us."""
    try:
        return subprocess.run([str(PYTHON), *arguments], cwd=within, check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
