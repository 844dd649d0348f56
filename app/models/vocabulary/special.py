"""Tokens with a role, and the chat template: from the files beside the tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.config import read_json
from app.models.source_file import SourceFile
from app.models.vocabulary.base import SpecialTokens, Vocabulary

CONFIG_FILE = "tokenizer_config.json"
_ROLES = ("bos", "eos", "unk", "sep", "pad", "mask")
_TEMPLATE_FILE = "chat_template.jinja"
_MAX_TEMPLATE = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """The small files of a model's folder that say how its tokenizer is used."""

    tokenizer_config: Mapping[str, Any]
    model_config: Mapping[str, Any]

    def token(self, role: str, tokens: Sequence[str]) -> int | None:
        """Number of the token with a role, if there is one."""
        given = self.tokenizer_config.get(f"{role}_token")
        text = given.get("content") if isinstance(given, Mapping) else given
        if isinstance(text, str) and text in tokens:
            return tokens.index(text)
        number = self.model_config.get(f"{role}_token_id")
        if isinstance(number, list) and number:
            number = number[0]
        return number if type(number) is int and 0 <= number < len(tokens) else None


def special_tokens(
    settings: Settings, tokenizer: Mapping[str, Any], vocabulary: Vocabulary
) -> SpecialTokens:
    """Roles, and whether texts get a first and a last token.

    Args:
        settings: The files beside the tokenizer.
        tokenizer: Content of tokenizer.json; empty where there is none.
        vocabulary: With what holds where nobody says more.
    """
    tokens = vocabulary.tokens
    ids = dict(vocabulary.special.ids)
    for role in _ROLES:
        number = settings.token(role, tokens)
        if number is not None:
            ids[role] = number
    config = settings.tokenizer_config
    template = _template(tokenizer.get("post_processor"))
    if template is None:
        add_bos = config.get("add_bos_token", vocabulary.special.add_bos) is True
        add_eos = config.get("add_eos_token") is True
    else:
        first, last = template
        add_bos, add_eos = first in tokens, last in tokens
        if add_bos:
            ids["bos"] = tokens.index(first)
        if add_eos:
            ids["eos"] = tokens.index(last)
    return SpecialTokens(ids, add_bos and "bos" in ids, add_eos and "eos" in ids)


def _template(processor: Any) -> tuple[str, str] | None:
    """The tokens that a tokenizer.json puts in front of a text and behind it, "" for none.

    None where it does not say at all.
    """
    if not isinstance(processor, Mapping):
        return None
    if processor.get("type") == "Sequence":
        parts = processor.get("processors")
        said = [_template(part) for part in (parts if isinstance(parts, list) else [])]
        # a part that puts something there decides over parts that put nothing
        return max((found for found in said if found is not None), key=any, default=None)
    if processor.get("type") == "ByteLevel":
        return "", ""
    single = processor.get("single")
    if processor.get("type") != "TemplateProcessing" or not isinstance(single, list) or not single:
        return None
    return _special(single[0]), _special(single[-1])


def _special(part: Any) -> str:
    """The special token of one part of a template; "" where it is the text."""
    token = part.get("SpecialToken") if isinstance(part, Mapping) else None
    name = token.get("id") if isinstance(token, Mapping) else None
    return name if isinstance(name, str) else ""


def chat_template(folder: Path, settings: Settings) -> str:
    """The model's own way to write a conversation down; "" where it has none.

    Raises:
        BadModelFile: It is not text, or much too long.
    """
    file = folder / _TEMPLATE_FILE
    if file.exists():
        with SourceFile.look(file).open() as opened:
            content = opened.read(_MAX_TEMPLATE + 1)
        found: Any = content.decode("utf-8", "replace")
    else:
        found = settings.tokenizer_config.get("chat_template")
    if isinstance(found, list):
        named = [entry for entry in found if isinstance(entry, Mapping)]
        default = [entry for entry in named if entry.get("name") == "default"]
        found = next((entry.get("template") for entry in (*default, *named)), None)
    if found is None:
        return ""
    if not isinstance(found, str) or len(found) > _MAX_TEMPLATE:
        raise BadModelFile(
            "The model's chat template is damaged.", "Download the tokenizer's files again."
        )
    return found


def read_settings(folder: Path, model_config: Mapping[str, Any]) -> Settings:
    """Read the tokenizer's settings, if there are any.

    Raises:
        BadModelFile: The file is damaged.
    """
    file = folder / CONFIG_FILE
    return Settings(read_json(file) if file.exists() else {}, model_config)
