"""What the import contracts cannot say: sizes, and what a start really loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "app").rglob("*.py"))
SLOW = {"torch", "numba", "transformers", "tokenizers", "safetensors", "sentencepiece"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_that_a_file_can_be_read_in_one_sitting(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("app.ui.application", SLOW),
        ("app.ui.window", SLOW),
        ("app.encodings", SLOW | {"PySide6"}),
        ("app.methods", SLOW | {"PySide6"}),
        ("app.formats", SLOW | {"PySide6"}),
        ("app.inspection", SLOW | {"PySide6"}),
        ("app.worker.main", SLOW | {"PySide6"}),
        ("app.hub.search", SLOW | {"PySide6", "huggingface_hub"}),
        ("app.commands.quantize", SLOW | {"PySide6"}),
    ],
)
def test_that_importing_a_module_does_not_drag_in(module, absent):
    code = f"import sys, {module}; print(*{absent!r} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == []
