"""Vocabularies: a tokenizer as data, for runtimes that have their own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.config import read_json
from app.models.vocabulary.base import SpecialTokens, TokenType, Vocabulary
from app.models.vocabulary.bpe import FILE, read_bpe
from app.models.vocabulary.plain_files import has_plain_files, read_plain_files
from app.models.vocabulary.pretokenizer import unknown_way
from app.models.vocabulary.special import read_settings, special_tokens
from app.models.vocabulary.spm import (
    MODEL_FILE,
    added_later,
    is_spm,
    read_spm_json,
    read_spm_model,
)
from app.models.vocabulary.tekken import TEKKEN_FILE, TEKKEN_SETTINGS, read_tekken
from app.models.vocabulary.templates import chat_templates

__all__ = ["SpecialTokens", "TokenType", "Vocabulary", "read_vocabulary"]


def read_vocabulary(folder: Path, config: Mapping[str, Any], size: int) -> Vocabulary:
    """The vocabulary of a Hugging Face folder.

    Args:
        folder: With tokenizer.json, tokenizer.model, tekken.json, or vocab.json and merges.txt.
        config: Content of config.json.
        size: Rows of the embedding.

    Raises:
        BadModelFile: There is no tokenizer, or it is damaged.
        Unsupported: It is of a kind that cannot be described to llama.cpp.
    """
    settings = read_settings(folder, config)
    tokenizer: Mapping[str, Any] = {}
    if (folder / FILE).exists():
        tokenizer = _checked(read_json(folder / FILE))
    elif (folder / TEKKEN_FILE).exists():
        tokenizer = read_tekken(folder)
        settings = replace(
            settings, tokenizer_config={**TEKKEN_SETTINGS, **settings.tokenizer_config}
        )
    elif has_plain_files(folder) and not (folder / MODEL_FILE).exists():
        tokenizer = read_plain_files(folder, settings.tokenizer_config)
    if (folder / MODEL_FILE).exists() and (not tokenizer or is_spm(tokenizer)):
        vocabulary = read_spm_model(folder, tokenizer, size)
    elif not tokenizer:
        raise BadModelFile(
            f"{folder.name} has no tokenizer.",
            f"Download {FILE} (or {MODEL_FILE}) into the model's folder as well.",
        )
    elif is_spm(tokenizer):
        vocabulary = read_spm_json(tokenizer, config, size)
    else:
        vocabulary = read_bpe(_with_added_later(tokenizer, folder, size), size)
    return _encodable(
        replace(
            vocabulary,
            special=special_tokens(settings, tokenizer, vocabulary),
            chat_templates=chat_templates(folder, settings.tokenizer_config),
        )
    )


def _with_added_later(tokenizer: Mapping[str, Any], folder: Path, size: int) -> Mapping[str, Any]:
    """A tokenizer.json together with tokens that only the files beside it add."""
    known = tokenizer.get("added_tokens") or []
    if not isinstance(known, list):
        return tokenizer
    taken = {entry.get("id") for entry in known if isinstance(entry, Mapping)}
    taken |= {number for number in tokenizer["model"]["vocab"].values() if type(number) is int}
    later = [
        {"id": number, "content": token, "special": kind is TokenType.CONTROL}
        for number, token, kind in added_later(folder, size)
        if number not in taken
    ]
    return {**tokenizer, "added_tokens": [*known, *later]}


def _encodable(vocabulary: Vocabulary) -> Vocabulary:
    """Refuse halves of characters, which JSON can hold but no file."""
    try:
        templates = (text for item in vocabulary.chat_templates.items() for text in item)
        "".join((*vocabulary.tokens, *vocabulary.merges, *templates)).encode()
    except UnicodeEncodeError as error:
        raise BadModelFile(
            "The tokenizer holds half a character.",
            "Download the tokenizer's files again.",
            str(error)[-200:],
        ) from error
    return vocabulary


def _checked(tokenizer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Refuse a tokenizer.json that is not byte-pair encoding with a vocabulary and merges."""
    model = tokenizer.get("model")
    if not isinstance(model, Mapping):
        raise BadModelFile(f"{FILE} describes no tokenizer.", "Download the file again.")
    if model.get("type", "BPE") != "BPE":
        raise unknown_way("It does not merge pairs.", f"model type {model.get('type')!r}")
    if not isinstance(model.get("vocab"), Mapping) or not isinstance(model.get("merges"), list):
        raise BadModelFile(
            f"{FILE} has no tokens or no pairs to merge.", "Download the file again."
        )
    return tokenizer
