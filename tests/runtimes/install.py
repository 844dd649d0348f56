"""Install runtimes whose libraries cannot share Nibble's environment, each in one of its own.

    python tests/runtimes/install.py [NAME ...]

Without a name, all of `environments/`. They take about 6 GB, in the folder NIBBLE_TEST_RUNTIMES or,
without it, in the system's folder for temporary files. Standard library only; Linux, where
some packages are compiled: a C++ compiler is needed. pip's settings are honoured, so that
PIP_EXTRA_INDEX_URL can name a place where torch is had without CUDA.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from environment import NAMES, Environment


def install(environment: Environment) -> None:
    """Make the environment anew, unless it already has all that is asked for.

    Versions are all listed, and taken as they are: what packages ask of each other cannot be
    met. (GPTQModel asks for a torch that is newer than needed.) The library that gives the
    environment its name comes last: some import torch while they are built.
    """
    if environment.ready:
        return
    venv.create(environment.folder, with_pip=True, clear=True)
    listed = environment.packages.split()
    last = [line for line in listed if line.split("==")[0].lower() == environment.name]
    first = [line for line in listed if line not in last]
    variables = {**os.environ, "DISABLE_CUDA": "1"}  # hqq would compile kernels
    for words in (first, ["--no-build-isolation", *last]):
        command = [environment.python, "-m", "pip", "install", "--quiet", "--no-deps", *words]
        subprocess.run(command, check=True, env=variables)
    environment.stamp.write_text(environment.packages, encoding="utf-8")


def main(names: list[str]) -> int:
    """Install what is named; the exit code is 2 for a name that there is not."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        print(f"There is no {', '.join(unknown)}; choose from {', '.join(NAMES)}.")
        return 2
    for name in names or NAMES:
        environment = Environment(name)
        print(f"{name}: {environment.folder}", flush=True)
        install(environment)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
