"""Damaged configs and indexes, and JSON that is too much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.models.case import Case, write_files
from tests.models.malformed_safetensors import CONFIG, entry, safetensors

#: Texts that are no JSON object, or too much of one.
DAMAGED_JSON: dict[str, bytes] = {
    "empty": b"",
    "spaces": b"   \n",
    "null": b"null",
    "true": b"true",
    "a number": b"17",
    "a text": b'"{}"',
    "a list": b"[{}]",
    "cut": b'{"model_type": "llama"',
    "cut in a text": b'{"model_type": "lla',
    "two objects": b"{}{}",
    "text behind": b"{} x",
    "comma at the end": b'{"a": 1,}',
    "single quotes": b"{'a': 1}",
    "a comment": b'{"a": 1 // one\n}',
    "key without quotes": b"{a: 1}",
    "raw line end in a text": b'{"a": "b\nc"}',
    "bad escape": b'{"a": "\\x41"}',
    "not utf-8": b'{"a": "\xff\xfe"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "zeros": bytes(100),
    "deep lists": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "65 levels": b'{"a":' + b"[" * 65 + b"]" * 65 + b"}",
    "unclosed depth": b'{"a":' * 50_000,
    "number of 5000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "7 MB of lists": b'{"a":[' + b"[]," * 2_300_000 + b"[]]}",
    "a Git LFS placeholder": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "a web page": b"<!DOCTYPE html><html></html>",
}

_SHARD = "model-00001-of-00002.safetensors"
_OTHER = "model-00002-of-00002.safetensors"
_INDEX = "model.safetensors.index.json"

_NUMBERS = ("hidden_size", "num_hidden_layers", "vocab_size", "max_position_embeddings")
_NO_COUNTS = (
    '"abc"', '"256"', "-1", "1.5", "true", "[]", "[256]", "{}", "NaN", "Infinity", "-Infinity",
    "1e999", "9223372036854775808", "1" + "0" * 300, '""',
)  # fmt: skip

#: Configs that are JSON, with fields that cannot be.
_CONFIGS: dict[str, bytes] = {
    **{
        f"{key} is {value[:30]}": f'{{"{key}": {value}}}'.encode()
        for key in _NUMBERS
        for value in _NO_COUNTS
    },
    "text_config is a list": b'{"text_config": [1]}',
    "text_config is a text": b'{"text_config": "llama"}',
    "text_config is a number": b'{"text_config": 1}',
    "text_config with a wrong size": b'{"text_config": {"hidden_size": "abc"}}',
    "its origin is a number": b'{"_name_or_path": 7}',
    "its origin is a list": b'{"_name_or_path": ["a"]}',
}

_LEADS_OUT = (
    "../{}", "/etc/{}", "C:\\{}", "C:{}", "a/{}", "./{}", "..\\{}", "\\\\host\\share\\{}",
    "{}\0", "\n{}", "\u202e{}", " {}", "n" * 300 + "{}",
)  # fmt: skip


def _index(weight_map: object) -> bytes:
    return json.dumps({"metadata": {"total_size": 16}, "weight_map": weight_map}).encode()


#: Indexes that are JSON, but do not fit the shards: the first holds "a", the second "b".
_INDEXES: dict[str, bytes] = {
    "no weight_map": b"{}",
    "weight_map is null": _index(None),
    "weight_map is a list": _index([_SHARD]),
    "weight_map is a text": _index(_SHARD),
    "weight_map is empty": _index({}),
    "file is a number": _index({"a": 1}),
    "file is null": _index({"a": None}),
    "file is a list": _index({"a": [_SHARD]}),
    "file is empty": _index({"a": ""}),
    "file is a pickle": _index({"a": "pytorch_model.bin"}),
    "file is the ending only": _index({"a": ".safetensors"}),
    "file is a folder": _index({"a": "folder.safetensors"}),
    "file is missing": _index({"a": _SHARD, "c": "model-00003-of-00003.safetensors"}),
    "tensor in the wrong file": _index({"a": _OTHER, "b": _SHARD}),
    "tensor in no file": _index({"a": _SHARD, "c": _SHARD}),
    "tensor twice": b'{"weight_map": {"a": "%b", "a": "%b"}}' % (_SHARD.encode(), _OTHER.encode()),
    "weight_map twice": b'{"weight_map": {}, "weight_map": {"a": "%b"}}' % _SHARD.encode(),
    **{
        f"leads out by {pattern[:12]!r}": _index({"a": pattern.format(_SHARD)})
        for pattern in _LEADS_OUT
    },
}


def malformed_json() -> Iterator[Case]:
    """Sound weights under a damaged config.json or index."""
    weights = {"model.safetensors": safetensors(entry())}
    for name, content in (DAMAGED_JSON | _CONFIGS).items():
        files = {**weights, "config.json": content}
        yield Case(f"config: {name}", partial(write_files, files))
    shards = {
        "config.json": json.dumps(CONFIG).encode(),
        _SHARD: safetensors(entry()),
        _OTHER: safetensors({"b": entry()["a"]}),
    }
    for name, content in (DAMAGED_JSON | _INDEXES).items():
        yield Case(f"index: {name}", partial(_write_sharded, {**shards, _INDEX: content}))


def _write_sharded(files: dict[str, bytes], folder: Path) -> Path:
    (folder / "folder.safetensors").mkdir()
    return write_files(files, folder)
