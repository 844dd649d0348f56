"""SentencePiece vocabularies, from a tokenizer.model or from its copy in a tokenizer.json.

llama.cpp joins, again and again, the two neighbours whose union has the highest score.
A tokenizer.model has scores. A tokenizer.json has an ordered list of merges instead; the
place of a token's first merge serves as its score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.config import read_json
from app.models.vocabulary.base import SpecialTokens, TokenList, TokenType, Vocabulary, added_type
from app.models.vocabulary.bpe import FILE, merges, put_added
from app.models.vocabulary.pretokenizer import unknown_way
from app.models.vocabulary.sentencepiece_model import read_sentencepiece

MODEL_FILE = "tokenizer.model"
SPACE = "\u2581"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_ADDED_SCORE = -1000.0
_UNUSED_SCORE = -10000.0
_NEVER_MERGED = -1e9


def read_spm_model(folder: Path, tokenizer: Mapping[str, Any], size: int) -> Vocabulary:
    """The vocabulary of a folder with a tokenizer.model; special tokens only as far as it says.

    Args:
        folder: The model's.
        tokenizer: Content of tokenizer.json, if there is one: it may have added tokens.
        size: Rows of the embedding.

    Raises:
        BadModelFile: The tokenizer is damaged.
        Unsupported: llama.cpp cannot cut text as this tokenizer does.
    """
    model = read_sentencepiece(folder / MODEL_FILE)
    if not model.is_bpe:
        raise unknown_way("It searches for the likeliest words.", "SentencePiece unigram model")
    tokens = TokenList(size, MODEL_FILE)
    scores = [_UNUSED_SCORE] * size
    for number, piece in enumerate(model.pieces):
        tokens.put(number, *_plain(piece.text, TokenType(piece.type)))
        scores[number] = piece.score
    for number, token, kind in _added_later(folder, size):
        tokens.put(number, *_plain(token, kind))
        scores[number] = _ADDED_SCORE
    notes = put_added(tokens, tokenizer, size, SPACE)
    names, types = tokens.close()
    return Vocabulary(
        kind="spm",
        tokens=names,
        types=types,
        scores=tuple(scores),
        space_prefix=model.space_prefix,
        notes=notes,
        special=SpecialTokens(model.roles, add_bos=True),
    )


def is_spm(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is a copy of a SentencePiece model."""
    return tokenizer["model"].get("byte_fallback") is True


def read_spm_json(tokenizer: Mapping[str, Any], size: int) -> Vocabulary:
    """The vocabulary of a tokenizer.json for which `is_spm` holds; no special tokens yet.

    Args:
        tokenizer: Content of tokenizer.json.
        size: Rows of the embedding.

    Raises:
        BadModelFile: The tokenizer is damaged.
        Unsupported: llama.cpp cannot cut text as this tokenizer does.
    """
    space_prefix = _space_prefix(tokenizer)
    model = tokenizer["model"]
    tokens = TokenList(size, FILE)
    unknown = model.get("unk_token")
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges(tokens, model)):
        ranks.setdefault(left + right, rank)
    scores = [_UNUSED_SCORE] * size
    for token, number in model["vocab"].items():
        kind = TokenType.BYTE if _BYTE.fullmatch(token) else TokenType.NORMAL
        tokens.put(number, token, TokenType.UNKNOWN if token == unknown else kind)
        scores[number] = float(-ranks[token]) if token in ranks else _NEVER_MERGED
    notes = put_added(tokens, tokenizer, size, SPACE)
    names, types = tokens.close()
    if unknown in names:
        number = names.index(unknown)
        types = (*types[:number], TokenType.UNKNOWN, *types[number + 1 :])
    return Vocabulary(
        kind="spm",
        tokens=names,
        types=types,
        scores=tuple(scores),
        space_prefix=space_prefix,
        special=SpecialTokens(add_bos=True),
        notes=notes,
    )


def _added_later(folder: Path, size: int) -> list[tuple[int, str, TokenType]]:
    """Tokens that the files beside tokenizer.model add to it or redefine."""
    found: list[tuple[int, str, TokenType]] = []
    file = folder / "added_tokens.json"
    if file.exists():
        for token, number in read_json(file).items():
            found.append((_number(number), token, added_type(token, special=False)))
    file = folder / "tokenizer_config.json"
    if file.exists():
        entries = read_json(file).get("added_tokens_decoder")
        for number, entry in (entries if isinstance(entries, Mapping) else {}).items():
            content = entry.get("content") if isinstance(entry, Mapping) else None
            if not isinstance(content, str):
                raise _damaged(str(number))
            found.append((_number(number), content, added_type(content, entry.get("special"))))
    return [entry for entry in found if entry[0] < size]


def _plain(token: str, kind: TokenType) -> tuple[str, TokenType]:
    """A token as runtimes look for it: those added by the user hold plain spaces."""
    return (token.replace(SPACE, " ") if kind is TokenType.USER_DEFINED else token), kind


def _number(value: object) -> int:
    text = str(value)
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise _damaged(text)
    return int(text)


def _damaged(what: str) -> BadModelFile:
    return BadModelFile(
        f"The tokenizer's added token {what[:40]!r} makes no sense.",
        "Download the tokenizer's files again.",
    )


def _space_prefix(tokenizer: Mapping[str, Any]) -> bool:
    """Whether the tokenizer puts a space in front of a text.

    Raises:
        Unsupported: It does something else to the text that llama.cpp does not.
    """
    steps = [*_steps(tokenizer.get("normalizer"), "normalizers"),
             *_steps(tokenizer.get("pre_tokenizer"), "pretokenizers")]  # fmt: skip
    prefix = False
    for step in steps:
        match step:
            case {"type": "Prepend", "prepend": str(text)} if text == SPACE:
                prefix = True
            case {"type": "Replace", "pattern": {"String": " "}, "content": str(text)} if (
                text == SPACE
            ):
                pass
            case {"type": "Metaspace", "replacement": str(text)} if (
                text == SPACE and step.get("split") is False
            ):
                scheme = step.get("prepend_scheme", "always")
                prefix = scheme != "never" and step.get("add_prefix_space") is not False
            case _:
                raise unknown_way("It changes text in an unknown way.", str(step)[:2000])
    return prefix


def _steps(part: Any, key: str) -> list[Any]:
    if part is None:
        return []
    if isinstance(part, Mapping) and part.get("type") == "Sequence":
        inner = part.get(key)
        return inner if isinstance(inner, list) else []
    return [part]
