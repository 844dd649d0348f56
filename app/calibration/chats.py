"""Chats as the model reads them: written out by its own chat template.

A template is data of the repository, not code: it is rendered in a sandbox that can neither
change what it is given nor reach anything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.models.base import Checkpoint
from app.models.config import read_json
from app.models.gguf_file import GgufFile
from app.models.vocabulary.templates import chat_templates

_SETTINGS = "tokenizer_config.json"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
_LONGEST_LINE = 4_000_000  # characters
_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant"}


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """How a model's chats are written."""

    text: str
    special: Mapping[str, str]
    """Its special tokens by what they are for, such as "eos_token"."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> ChatTemplate | None:
        """A model's own, if it has one."""
        if isinstance(checkpoint, GgufFile):
            text = checkpoint.header.get("tokenizer.chat_template")
            return cls(text, _special_of_gguf(checkpoint)) if isinstance(text, str) else None
        settings = checkpoint.path / _SETTINGS
        fields = read_json(settings) if settings.exists() else {}
        texts = chat_templates(checkpoint.path, fields)
        text = texts.get("default") or next(iter(texts.values()), None)
        return cls(text, _special_of_settings(fields)) if text else None

    def render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """A chat as one text, special tokens included.

        Raises:
            BadModelFile: The template does not work.
        """
        import jinja2
        from transformers.utils.chat_template_utils import render_jinja_template

        try:
            texts, _ = render_jinja_template(
                conversations=[[dict(message) for message in messages]],
                chat_template=self.text,
                **self.special,
            )
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise BadModelFile(
                "The model's chat template cannot write one of these chats.",
                "Use a plain text instead of chats, or chats of the form that the model expects.",
                f"{type(error).__name__}: {error}",
            ) from error
        return str(texts[0])


def read_chats(path: Path, template: ChatTemplate | None) -> Iterator[str]:
    """The texts of a file with one JSON object a line.

    An object is a chat, {"messages": [{"role": ..., "content": ...}, ...]} or
    {"conversations": [{"from": ..., "value": ...}, ...]}, or a plain {"text": ...}.

    Raises:
        BadModelFile: A line is something else.
        Unsupported: There are chats, and the model has no template for them.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        number = 0
        while line := file.readline(_LONGEST_LINE):
            number += 1
            if line.strip():
                yield _text_of(_parsed(path, number, line), path, number, template)


def _parsed(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _not_a_chat(path, number, str(error)) from error
    if not isinstance(found, dict):
        raise _not_a_chat(path, number, "not an object")
    return found


def _text_of(
    item: Mapping[str, Any], path: Path, number: int, template: ChatTemplate | None
) -> str:
    if isinstance(item.get("text"), str):
        return str(item["text"])
    entries = item.get("messages", item.get("conversations"))
    messages = [_message(entry) for entry in entries] if isinstance(entries, list) else []
    if not messages or None in messages:
        raise _not_a_chat(path, number, f"keys: {', '.join(item)[:200]}")
    if template is None:
        raise Unsupported(
            "This model has no chat template, so it is not known how it reads chats.",
            "Use a plain text file instead.",
        )
    return template.render([message for message in messages if message is not None])


def _message(entry: Any) -> Mapping[str, str] | None:
    """A message in the form that templates expect."""
    if not isinstance(entry, dict):
        return None
    role = entry.get("role", entry.get("from"))
    content = entry.get("content", entry.get("value"))
    if not isinstance(role, str) or not isinstance(content, str):
        return None
    return {"role": _ROLES.get(role, role), "content": content}


def _not_a_chat(path: Path, number: int, details: str) -> BadModelFile:
    return BadModelFile(
        f"Line {number} of {path.name} is no chat.",
        'Each line has to be JSON such as {"messages": [{"role": "user", "content": "..."}]} or '
        '{"text": "..."}.',
        details,
    )


def _special_of_settings(fields: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for key in _SPECIAL:
        value = fields.get(key)
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str):
            found[key] = content
    return found


def _special_of_gguf(checkpoint: GgufFile) -> dict[str, str]:
    get = checkpoint.header.get
    tokens = get("tokenizer.ggml.tokens", ())
    keys = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    numbers = {name: get(f"tokenizer.ggml.{key}_token_id") for name, key in keys.items()}
    return {
        name: str(tokens[number])
        for name, number in numbers.items()
        if isinstance(number, int) and 0 <= number < len(tokens)
    }
