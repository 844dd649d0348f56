"""Vocabularies over characters, as SentencePiece makes them.

They come in a tokenizer.model or in a tokenizer.json with byte fallback. From a
tokenizer.model, llama.cpp joins, again and again, the two neighbours whose union has the
highest score. A tokenizer.json has an ordered list of merges instead. If it was made from
scores, the place of a token's merges serves as its score; otherwise the merges themselves
are written, for which llama.cpp has other kinds of vocabulary.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.config import read_json
from app.models.vocabulary.base import SpecialTokens, TokenList, TokenType, Vocabulary, added_type
from app.models.vocabulary.bpe import FILE, merges, put_added
from app.models.vocabulary.pretokenizer import has_byte_level, unknown_way
from app.models.vocabulary.sentencepiece_model import read_sentencepiece

MODEL_FILE = "tokenizer.model"
SPACE = "\u2581"
_TIDIES = (
    "The model's own tokenizer unifies characters or shortens runs of spaces before it reads "
    "a text. llama.cpp does not."
)
_REORDERED = (
    "llama.cpp cannot join letters in exactly the order of this tokenizer. Some words may "
    "become other tokens."
)
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_ADDED_SCORE = -1000.0
_UNUSED_SCORE = -10000.0
_NEVER_MERGED = -1e9
#: llama.cpp's name for merges over characters in a text without further cuts.
_OVER_CHARACTERS = "sarvam-moe"


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
    for number, token, kind in added_later(folder, size):
        tokens.put(number, *_plain(token, kind))
        scores[number] = _ADDED_SCORE
    notes = put_added(tokens, tokenizer, size, SPACE)
    names, types = tokens.close()
    prefix = _settings(folder).get("add_prefix_space")
    return Vocabulary(
        kind="spm",
        tokens=names,
        types=types,
        scores=tuple(scores),
        space_prefix=prefix if isinstance(prefix, bool) else model.space_prefix,
        notes=(*notes, _TIDIES) if model.tidies else notes,
        special=SpecialTokens(model.roles, add_bos=True),
    )


def is_spm(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json is over characters, with bytes for those that it lacks."""
    bytes_only = has_byte_level(tokenizer.get("pre_tokenizer"))
    return tokenizer["model"].get("byte_fallback") is True and not bytes_only


def read_spm_json(tokenizer: Mapping[str, Any], config: Mapping[str, Any], size: int) -> Vocabulary:
    """The vocabulary of a tokenizer.json for which `is_spm` holds; no special tokens yet.

    Args:
        tokenizer: Content of tokenizer.json.
        config: Content of config.json: Gemma 4 has a kind of its own.
        size: Rows of the embedding.

    Raises:
        BadModelFile: The tokenizer is damaged.
        Unsupported: llama.cpp cannot cut text as this tokenizer does.
    """
    space_prefix = _space_prefix(tokenizer)
    model = tokenizer["model"]
    tokens = TokenList(size, FILE)
    pairs = list(merges(tokens, model))
    unknown = model.get("unk_token")
    for token, number in model["vocab"].items():
        kind = TokenType.BYTE if _BYTE.fullmatch(token) else TokenType.NORMAL
        tokens.put(number, token, TokenType.UNKNOWN if token == unknown else kind)
    notes = put_added(tokens, tokenizer, size, SPACE)
    names, types = tokens.close()
    if unknown in names:
        number = names.index(unknown)
        types = (*types[:number], TokenType.UNKNOWN, *types[number + 1 :])
    vocabulary = Vocabulary(
        kind="spm",
        tokens=names,
        types=types,
        space_prefix=space_prefix,
        special=SpecialTokens(add_bos=True),
        notes=notes,
    )
    written = tuple(" ".join(pair) for pair in pairs)
    if str(config.get("model_type")).startswith("gemma4"):
        return replace(vocabulary, kind="gemma4", pre="gemma4", merges=written)
    scores = _scores(model["vocab"], pairs)
    if scores is None and space_prefix:
        scores = _first_merges(pairs)
        vocabulary = replace(vocabulary, notes=(*notes, _REORDERED))
    if scores is not None:
        by_number = {number: scores.get(token) for token, number in model["vocab"].items()}
        return replace(vocabulary, scores=tuple(_score(by_number, n) for n in range(size)))
    return replace(vocabulary, kind="bpe", pre=_OVER_CHARACTERS, merges=written)


def _score(scores: Mapping[int, float | None], number: int) -> float:
    if number not in scores:
        return _UNUSED_SCORE
    score = scores[number]
    return _NEVER_MERGED if score is None else score


def _first_merges(pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
    """Token by the place of its first merge, as a score."""
    first: dict[str, float] = {}
    for rank, (left, right) in enumerate(pairs):
        first.setdefault(left + right, float(-rank))
    return first


def _scores(
    vocabulary: Mapping[str, int], pairs: Sequence[tuple[str, str]]
) -> dict[str, float] | None:
    """Scores that lead to the same joins as the merges, if there are any.

    That is so if all pairs that make a token stand together, and none is missing.
    """
    first = _first_merges(pairs)
    counted = Counter(left + right for left, right in pairs)
    if any(
        rank + first[left + right] >= counted[left + right]
        for rank, (left, right) in enumerate(pairs)
    ):
        return None
    for token, count in counted.items():
        cuts = ((token[:at], token[at:]) for at in range(1, len(token)))
        if count != sum(left in vocabulary and right in vocabulary for left, right in cuts):
            return None
    return first


def _settings(folder: Path) -> Mapping[str, Any]:
    file = folder / "tokenizer_config.json"
    return read_json(file) if file.exists() else {}


def added_later(folder: Path, size: int) -> list[tuple[int, str, TokenType]]:
    """Tokens that the files beside tokenizer.model add to it or redefine."""
    found: list[tuple[int, str, TokenType]] = []
    file = folder / "added_tokens.json"
    if file.exists():
        for token, number in read_json(file).items():
            found.append((_number(number), token, added_type(token, special=False)))
    entries = _settings(folder).get("added_tokens_decoder")
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
    steps = [
        *_steps(tokenizer.get("normalizer"), "normalizers"),
        *_steps(tokenizer.get("pre_tokenizer"), "pretokenizers"),
    ]
    prefix = escaped = False
    for step in steps:
        match step:
            case {"type": "Prepend", "prepend": "\u2581"}:
                prefix = True
            case {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}:
                escaped = True
            case {"type": "Split", "pattern": {"String": " "}} if escaped:
                pass  # there are no spaces left to cut at
            case {"type": "NFC"}:
                pass  # nearly all text is composed already
            case {"type": "Metaspace", "replacement": "\u2581"} if _joins_no_words(tokenizer, step):
                scheme = step.get("prepend_scheme", "always")
                prefix = scheme != "never" and step.get("add_prefix_space") is not False
                escaped = True
            case _:
                raise unknown_way("It changes text in an unknown way.", str(step)[:2000])
    if not escaped:
        raise unknown_way("It leaves spaces as they are.", str(steps)[:2000])
    return prefix


def _joins_no_words(tokenizer: Mapping[str, Any], metaspace: Mapping[str, Any]) -> bool:
    """Whether it makes no difference that llama.cpp does not cut in front of a space."""
    cuts = metaspace.get("split", True) is not False
    return not (cuts and any(SPACE in token[1:] for token in tokenizer["model"]["vocab"]))


def _steps(part: Any, key: str) -> list[Any]:
    if part is None:
        return []
    if isinstance(part, Mapping) and part.get("type") == "Sequence":
        inner = part.get(key)
        return inner if isinstance(inner, list) else []
    return [part]
