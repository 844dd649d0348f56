"""No damaged model hangs the reader, exhausts the memory or passes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.errors import BadModelFile, Unsupported
from app.models.config import read_json
from app.models.facts import model_facts
from app.models.open import open_model
from tests.models.case import Case
from tests.models.corpus import malformed
from tests.models.malformed_json import DAMAGED_JSON

_SECONDS = 2.0


def _refused(action: Callable[[], object]) -> BadModelFile | Unsupported:
    before = time.process_time()
    with pytest.raises((BadModelFile, Unsupported)) as caught:
        action()
    assert time.process_time() - before < _SECONDS
    return caught.value


@pytest.mark.parametrize("case", list(malformed()), ids=str)
def test_that_a_damaged_model_is_refused_in_plain_words(case: Case, tmp_path: Path) -> None:
    path = case.write(tmp_path)
    error = _refused(lambda: model_facts(open_model(path)))
    assert error.title.endswith(".")
    assert error.hint.endswith(".")
    assert error.title.isprintable()


@pytest.mark.parametrize("text", DAMAGED_JSON.values(), ids=DAMAGED_JSON)
def test_that_a_damaged_tokenizer_file_is_refused(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(text)
    assert "tokenizer.json" in _refused(lambda: read_json(path)).title


_MEASURE = """
import sys
from pathlib import Path
from app.core.errors import BadModelFile, Unsupported
from app.models.facts import model_facts
from app.models.open import open_model

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

before = peak()
for path in sys.stdin.read().split("\\0"):
    try:
        model_facts(open_model(path))
    except (BadModelFile, Unsupported):
        continue
    sys.exit(f"accepted {path}")
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_that_no_damaged_model_takes_much_memory(tmp_path: Path) -> None:
    paths = []
    for number, case in enumerate(malformed()):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = str(case.write(folder))
        if "\0" not in path:
            paths.append(path)
    child = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        input="\0".join(paths), capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < 200_000_000
