"""Byte-level BPE from a tokenizer.json, as GPT-2, Llama 3 and Qwen have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.models.vocabulary.base import TokenList, TokenType, Vocabulary, added_type
from app.models.vocabulary.pretokenizer import recognise_pretokenizer, unknown_way

FILE = "tokenizer.json"


def read_bpe(tokenizer: Mapping[str, Any], size: int) -> Vocabulary:
    """Tokens, types, merges and the pre-tokenizer; no special tokens yet.

    Args:
        tokenizer: Content of tokenizer.json with a byte-level BPE model.
        size: Rows of the embedding.

    Raises:
        BadModelFile: The tokenizer is damaged.
        Unsupported: llama.cpp has no such tokenizer.
    """
    model = tokenizer["model"]
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise unknown_way("It marks the parts of words.", f"{key}: {model[key]!r}")
    tokens = TokenList(size, FILE)
    for token, number in model["vocab"].items():
        tokens.put(number, token, TokenType.NORMAL)
    left_out = put_added(tokens, tokenizer, size)
    names, types = tokens.close()
    pairs = tuple(" ".join(pair) for pair in merges(tokens, model))
    pre, notes = recognise_pretokenizer(tokenizer)
    return Vocabulary(
        kind="bpe",
        tokens=names,
        types=types,
        pre=pre,
        merges=pairs,
        notes=(*left_out, *notes),
    )


def merges(tokens: TokenList, model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The pairs that a BPE model joins, the first ones first.

    They are written as "a b", or as ["a", "b"] where parts can hold spaces; a space is then
    written as GPT-2 writes that byte, U+0120.

    Raises:
        BadModelFile: One is no pair.
    """
    for merge in model["merges"]:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(part, str) and part for part in pair)
        ):
            raise tokens.damaged(f"{str(merge)[:40]!r} is no pair to join")
        left, right = pair
        yield left.replace(" ", "\u0120"), right.replace(" ", "\u0120")


def put_added(
    tokens: TokenList, tokenizer: Mapping[str, Any], size: int, space: str = " "
) -> tuple[str, ...]:
    """Add the tokens that were made after training, and say which ones the model cannot have.

    Args:
        tokens: Where they go.
        tokenizer: Content of tokenizer.json.
        size: Rows of the embedding.
        space: How the tokenizer writes a space; runtimes look for plain ones in the text.

    Raises:
        BadModelFile: One is no token.
    """
    added = tokenizer.get("added_tokens") or []
    if not isinstance(added, list):
        raise tokens.damaged("its added tokens are no list")
    dropped = 0
    for entry in added:
        if not isinstance(entry, Mapping):
            raise tokens.damaged(f"{str(entry)[:40]!r} is no added token")
        number, token = entry.get("id"), entry.get("content")
        if type(number) is int and number >= size:
            dropped += 1  # the model was never made large enough for it
            continue
        kind = added_type(str(token), entry.get("special"))
        if kind is TokenType.USER_DEFINED and isinstance(token, str):
            token = token.replace(space, " ")
        tokens.put(number, token, kind)
    if not dropped:
        return ()
    text = f"Added tokens that the model has no numbers for are left out: {dropped}."
    return (text,)
