"""Environments of other libraries, and scripts that run in them: JSON in, JSON out.

A script is given two paths: a request to read, and where to write its answer. So whatever a library
prints does not matter. `install.py` makes the environments.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = tuple(sorted(path.stem for path in (HERE / "environments").glob("*.txt")))


class ScriptFailed(AssertionError):
    """A script did not end well; the message is what it printed last."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One of `environments/`."""

    name: str

    @property
    def folder(self) -> Path:
        base = os.environ.get("NIBBLE_TEST_RUNTIMES")
        return (Path(base) if base else Path(tempfile.gettempdir()) / "nibble-runtimes") / self.name

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def list(self) -> Path:
        """Every package with its version."""
        return HERE / "environments" / f"{self.name}.txt"

    @property
    def packages(self) -> str:
        return self.list.read_text(encoding="utf-8")

    @property
    def stamp(self) -> Path:
        """Holds what was installed."""
        return self.folder / "installed.txt"

    @property
    def ready(self) -> bool:
        """Whether all of its packages are installed, in these versions."""
        return self.stamp.exists() and self.stamp.read_text(encoding="utf-8") == self.packages

    @property
    def missing(self) -> str:
        """Why it cannot be used; "" when it can."""
        how = f"run: python tests/runtimes/install.py {self.name}"
        return "" if self.ready else f"no environment for {self.name}; {how}"

    def run(self, script: str, timeout: float = 600, **request: Any) -> Any:
        """What one of `scripts/` answers.

        Raises:
            ScriptFailed: It ended with an error, or without an answer.
        """
        return run(self.python, script, request, timeout)


def run(python: Path, script: str, request: dict[str, Any], timeout: float = 600) -> Any:
    """What a script of `scripts/` answers when `python` runs it; see `Environment.run`."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "request.json", Path(folder) / "answer.json"
        asked.write_text(json.dumps(request), encoding="utf-8")
        command = [python, HERE / "scripts" / f"{script}.py", asked, answered]
        done = subprocess.run(
            command,
            cwd=folder,
            env=_variables(folder),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode or not answered.exists():
            raise ScriptFailed(f"{script}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
        return json.loads(answered.read_text(encoding="utf-8"))


def _variables(folder: str) -> dict[str, str]:
    """Nothing is asked of the hub, and nothing of our own environment leaks into the other."""
    own = {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS"}
    kept = {name: value for name, value in os.environ.items() if name not in own}
    # GPTQModel refuses to start with fewer workers than it plans for on two processors.
    workers = {"GPTQMODEL_CPU_WORKERS": "2"}
    return {
        **kept,
        **workers,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": folder,
        "TOKENIZERS_PARALLELISM": "0",
    }


OWN_PYTHON = Path(sys.executable)
"""Nibble's own environment, for libraries that are among its test packages."""
