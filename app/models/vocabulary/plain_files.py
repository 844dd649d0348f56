"""Tokenizers in two plain files, vocab.json and merges.txt, as older models come.

How such a tokenizer cuts text is not in the files; it belongs to its class in transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.models.config import read_json
from app.models.source_file import SourceFile
from app.models.vocabulary.pretokenizer import expressions_of, unknown_way

TOKENS_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
_MAX_MERGES = 64_000_000  # bytes
#: llama.cpp's name for how a tokenizer of a class cuts text.
_WAYS = {"GPT2Tokenizer": "gpt-2", "CodeGenTokenizer": "gpt-2", "Qwen2Tokenizer": "qwen2"}


def has_plain_files(folder: Path) -> bool:
    """Whether a folder has such a tokenizer."""
    return (folder / TOKENS_FILE).exists() and (folder / MERGES_FILE).exists()


def read_plain_files(folder: Path, tokenizer_config: Mapping[str, Any]) -> dict[str, Any]:
    """What a tokenizer.json of the same tokenizer would say.

    Args:
        folder: With both files.
        tokenizer_config: Content of tokenizer_config.json: names the class.

    Raises:
        BadModelFile: A file is damaged.
        Unsupported: The class is not known here.
    """
    name = str(tokenizer_config.get("tokenizer_class")).removesuffix("Fast")
    if name not in _WAYS:
        raise unknown_way("It is of an unknown class and has no tokenizer.json.", name)
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False
    }  # fmt: skip
    cuts = [
        {"type": "Split", "pattern": {"Regex": one}, "behavior": "Isolated", "invert": False}
        for one in expressions_of(_WAYS[name])[0]
    ]
    return {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*cuts, byte_level]},
        "model": {
            "type": "BPE",
            "vocab": read_json(folder / TOKENS_FILE),
            "merges": _merges(folder / MERGES_FILE),
        },
    }


def _merges(path: Path) -> list[str]:
    """The lines of a list of merges but for its heading."""
    source = SourceFile.look(path)
    if source.size > _MAX_MERGES:
        raise source.damaged("it is larger than 64 MB")
    with source.open() as file:
        data = file.read(_MAX_MERGES)
    source.check_start(data[:32])
    try:
        # not splitlines, which also ends lines at letters of a vocabulary
        lines = data.decode().replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise BadModelFile(
            f"The tokenizer ({MERGES_FILE}) is damaged: it is not text.",
            "Download the tokenizer's files again.",
        ) from error
    merges = [line for at, line in enumerate(lines) if line and not (at == 0 and line[0] == "#")]
    if not merges:
        raise source.damaged("it lists no pairs to merge")
    return merges
