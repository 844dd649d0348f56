"""Chat templates: a model's own way to write a conversation down.

They are Jinja programs. Here they are only carried along, never run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.config import read_json
from app.models.source_file import SourceFile

_MAX = 1_000_000  # characters
_FILE = "chat_template.jinja"
_JSON_FILE = "chat_template.json"
_FOLDER = "additional_chat_templates"


def chat_templates(folder: Path, tokenizer_config: Mapping[str, Any]) -> dict[str, str]:
    """Templates by name: "default", and for some models others such as "tool_use".

    Args:
        folder: The model's.
        tokenizer_config: Content of tokenizer_config.json.

    Raises:
        BadModelFile: One is not text, or much too long.
    """
    if (folder / _FILE).exists():
        files = {"default": folder / _FILE}
        files |= {file.stem: file for file in sorted((folder / _FOLDER).glob("*.jinja"))}
        return {name: _read(file) for name, file in files.items()}
    found = tokenizer_config.get("chat_template")
    if found is None and (folder / _JSON_FILE).exists():
        found = read_json(folder / _JSON_FILE).get("chat_template")
    if found is None:
        return {}
    if not isinstance(found, list):
        return {"default": _checked(found)}
    named = [entry for entry in found if isinstance(entry, Mapping)]
    templates = {str(entry.get("name")): _checked(entry.get("template")) for entry in named}
    if templates and "default" not in templates:
        templates["default"] = next(iter(templates.values()))
    return templates


def _read(file: Path) -> str:
    with SourceFile.look(file).open() as opened:
        return _checked(opened.read(_MAX + 1).decode("utf-8", "replace"))


def _checked(template: object) -> str:
    if not isinstance(template, str) or len(template) > _MAX:
        raise BadModelFile(
            "The model's chat template is damaged.", "Download the tokenizer's files again."
        )
    return template
