"""Mistral's tekken.json, brought into the form of a tokenizer.json.

The file lists the bytes of every token in the order in which the tokens were made (their
rank) and the expression that cuts text. Tokens of a word are joined by the lowest rank of
the union; the pair that made a token is the one that its own bytes are joined from last.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.config import read_json

TEKKEN_FILE = "tekken.json"
_MAX_TOKENS = 1_000_000
_MAX_TOKEN_BYTES = 256
#: Special tokens of files that do not list them.
_FIRST_SPECIAL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]",
    "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CONTENT]",
)  # fmt: skip
#: What tokenizer_config.json says of other models.
TEKKEN_SETTINGS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                   "pad_token": "<pad>", "add_bos_token": True}  # fmt: skip


def read_tekken(folder: Path) -> dict[str, Any]:
    """What a tokenizer.json of the same tokenizer would say.

    Args:
        folder: With a tekken.json.

    Raises:
        BadModelFile: The file is damaged.
    """
    content = read_json(folder / TEKKEN_FILE)
    config, listed = content.get("config"), content.get("vocab")
    if not isinstance(config, Mapping) or not isinstance(listed, list):
        raise _damaged("it describes no tokens")
    given = content.get("special_tokens")
    named = len(given if isinstance(given, list) else _FIRST_SPECIAL)
    special = _number(config, "default_num_special_tokens", _MAX_TOKENS, named)
    size = _number(config, "default_vocab_size", _MAX_TOKENS, special + len(listed))
    if special > size:
        raise _damaged("it has more special tokens than tokens")
    ranks = {_bytes(entry): rank for rank, entry in enumerate(listed[: size - special])}
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise _damaged("a byte has no token")
    letters = _letters()
    names = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [
        [names[part] for part in pair]
        for token, rank in ranks.items()
        if len(pair := _parts(token, ranks, rank)) == 2
    ]
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False
    }  # fmt: skip
    cut = {"Regex": str(config.get("pattern"))}
    split = {"type": "Split", "pattern": cut, "behavior": "Isolated", "invert": False}
    vocabulary = {names[token]: rank + special for token, rank in ranks.items()}
    return {
        "added_tokens": _special(given, special),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "model": {"type": "BPE", "ignore_merges": True, "vocab": vocabulary, "merges": merges},
    }


def _special(listed: Any, count: int) -> list[dict[str, Any]]:
    """The first `count` tokens, which are not made of bytes."""
    found = {rank: (name, True) for rank, name in enumerate(_FIRST_SPECIAL)}
    if isinstance(listed, list):
        found = {}
        for entry in listed:
            if not isinstance(entry, Mapping) or not isinstance(entry.get("token_str"), str):
                raise _damaged(f"{str(entry)[:40]!r} is no special token")
            rank = _number(entry, "rank", count)
            found[rank] = (entry["token_str"], entry.get("is_control") is not False)
    tokens = (found.get(rank, (f"<SPECIAL_{rank}>", True)) for rank in range(count))
    return [
        {"id": rank, "content": name, "special": control}
        for rank, (name, control) in enumerate(tokens)
    ]


def _parts(token: bytes, ranks: Mapping[bytes, int], below: int) -> Sequence[bytes]:
    """What `token` is joined to by tokens of a rank below its own."""
    parts = [token[at : at + 1] for at in range(len(token))]
    while len(parts) > 2:
        unions = [ranks.get(left + right, below) for left, right in pairwise(parts)]
        best = min(unions)
        if best >= below:
            break
        at = unions.index(best)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _letters() -> dict[int, str]:
    """The letter that stands for each byte in a byte-level vocabulary, as GPT-2 chose them."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }


def _bytes(entry: Any) -> bytes:
    text = entry.get("token_bytes") if isinstance(entry, Mapping) else None
    try:
        found = base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except binascii.Error:
        found = b""
    if not 0 < len(found) <= _MAX_TOKEN_BYTES:
        raise _damaged(f"{str(entry)[:60]!r} is no token")
    return found


def _number(fields: Mapping[str, Any], key: str, bound: int, default: int = -1) -> int:
    number = fields.get(key, default)
    if type(number) is not int or not 0 <= number <= bound:
        raise _damaged(f"its {key} is {str(number)[:20]!r}")
    return number


def _damaged(reason: str) -> BadModelFile:
    return BadModelFile(
        f"The tokenizer ({TEKKEN_FILE}) is damaged: {reason}.",
        "Download the tokenizer's files again.",
    )
