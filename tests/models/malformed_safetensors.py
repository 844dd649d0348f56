"""Damaged safetensors files, made byte by byte."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.models.case import Case, write_files

TENSOR = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
DATA = bytes(range(16))
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 2}


def safetensors(header: Any, data: bytes = DATA, length: int | None = None) -> bytes:
    """A safetensors file; `header` may be text or bytes to break its rules."""
    raw = header if isinstance(header, bytes | str) else json.dumps(header)
    text = raw.encode() if isinstance(raw, str) else raw
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(**changes: Any) -> dict[str, Any]:
    """A header with the tensor "a", some of its fields changed."""
    return {"a": {**TENSOR, **changes}}


def lacking(field: str) -> dict[str, Any]:
    """A header with the tensor "a", one of its fields left out."""
    return {"a": {key: value for key, value in TENSOR.items() if key != field}}


def named(name: str) -> str:
    """A header with one tensor of that (already escaped) name."""
    return f'{{"{name}":{json.dumps(TENSOR)}}}'


def pair(first: tuple[int, int], second: tuple[int, int]) -> dict[str, Any]:
    """A header with two byte tensors at these places."""
    return {
        name: {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}
        for name, (start, end) in (("a", first), ("b", second))
    }


def _entry_text(text: str) -> str:
    return f'{{"a":{text}}}'


_FIELD = json.dumps(TENSOR)[1:-1]

_SAFETENSORS: dict[str, bytes] = {
    "empty file": b"",
    "one byte": b"\0",
    "seven bytes": bytes(7),
    "only a length of zero": bytes(8),
    "length of one": safetensors(b"{", b""),
    "length 2^64-1": safetensors(entry(), length=2**64 - 1),
    "length 2^63": safetensors(entry(), length=2**63),
    "length one beyond the file": safetensors("{}", b"", length=3),
    "length cuts the header": safetensors(entry(), length=20),
    "length includes data": safetensors(entry(), length=len(json.dumps(entry())) + 8),
    "header is a word": safetensors("abc"),
    "header is a list": safetensors([TENSOR]),
    "header is null": safetensors("null"),
    "header is a text": safetensors('"{}"'),
    "header is a number": safetensors("17"),
    "header is zeros": safetensors(bytes(100)),
    "header without tensors": safetensors("{}", b""),
    "header with notes only": safetensors({"__metadata__": {"a": "b"}}, b""),
    "brace only": safetensors("{ "),
    "cut behind the name": safetensors('{"a"'),
    "cut behind the colon": safetensors('{"a":'),
    "cut in the name": safetensors('{"aaaaaaa'),
    "cut in the entry": safetensors(json.dumps(entry())[:-8]),
    "last brace missing": safetensors(json.dumps(entry())[:-1]),
    "space in front": safetensors(" " + json.dumps(entry())),
    "byte order mark": safetensors(b"\xef\xbb\xbf" + json.dumps(entry()).encode()),
    "utf-16": safetensors(json.dumps(entry()).encode("utf-16")),
    "comma at the end": safetensors(json.dumps(entry())[:-1] + ",}"),
    "comma at the start": safetensors("{," + json.dumps(entry())[1:]),
    "two commas": safetensors(f'{{"a":{{{_FIELD}}},,"b":{{{_FIELD}}}}}'),
    "no comma": safetensors(f'{{"a":{{{_FIELD}}} "b":{{{_FIELD}}}}}'),
    "text behind": safetensors(json.dumps(entry()) + " x"),
    "two objects": safetensors(json.dumps(entry()) * 2),
    "zeros behind": safetensors(json.dumps(entry()).encode() + bytes(4)),
    "single quotes": safetensors(json.dumps(entry()).replace('"', "'")),
    "a comment": safetensors("{/* */" + json.dumps(entry())[1:]),
    "entry is null": safetensors({"a": None}),
    "entry is a list": safetensors({"a": [TENSOR]}),
    "entry is a number": safetensors({"a": 1}),
    "entry is empty": safetensors({"a": {}}),
    "entry of 20 kB": safetensors(entry(x="y" * 20_000)),
    "entry in an entry": safetensors(entry(x=TENSOR)),
    "field twice": safetensors(_entry_text(f'{{{_FIELD},"dtype":"F32"}}')),
    "name is empty": safetensors(named("")),
    "name with NUL": safetensors(named("a\\u0000b")),
    "name with line end": safetensors(named("a\\nb")),
    "name with raw control": safetensors(named("a\x01b")),
    "name with raw tab": safetensors(named("a\tb")),
    "name with lone surrogate": safetensors(named("\\ud800")),
    "name with reversed writing": safetensors(named("a\u202eb")),
    "name with bad escape": safetensors(named("\\x41")),
    "name with cut escape": safetensors(named("\\u00")),
    "name that is not utf-8": safetensors(b'{"\xff\xfe":' + json.dumps(TENSOR).encode() + b"}"),
    "name of 1025 bytes": safetensors(named("n" * 1025)),
    "name of 513 umlauts": safetensors(named("\u00fc" * 513)),
    "name of 1 MB": safetensors(named("n" * 1_000_000)),
    "name twice": safetensors(f'{{"a":{{{_FIELD}}},"a":{{{_FIELD}}}}}'),
    "name twice by escape": safetensors(f'{{"a":{{{_FIELD}}},"\\u0061":{{{_FIELD}}}}}'),
    "dtype missing": safetensors(lacking("dtype")),
    "dtype is null": safetensors(entry(dtype=None)),
    "dtype is a number": safetensors(entry(dtype=32)),
    "dtype is a list": safetensors(entry(dtype=["F32"])),
    "dtype is unknown": safetensors(entry(dtype="F33")),
    "dtype in small letters": safetensors(entry(dtype="f32")),
    "dtype that is not utf-8": safetensors(json.dumps(entry()).encode().replace(b"F32", b"\xff32")),
    "dtype of four bits": safetensors(entry(dtype="F4")),
    "dtype is complex": safetensors(entry(dtype="C64", shape=[2])),
    "shape missing": safetensors(lacking("shape")),
    "shape is null": safetensors(entry(shape=None)),
    "shape is a number": safetensors(entry(shape=4)),
    "shape is a text": safetensors(entry(shape="2x2")),
    "shape is negative": safetensors(entry(shape=[-2, -2])),
    "shape is a fraction": safetensors(entry(shape=[2.0, 2.0])),
    "shape is true": safetensors(entry(shape=[True, 4])),
    "shape is nested": safetensors(entry(shape=[[2, 2]])),
    "shape with a text": safetensors(entry(shape=["2", 2])),
    "shape with NaN": safetensors(entry(shape=[float("nan"), 2])),
    "shape with 1e400": safetensors(json.dumps(entry()).replace("[2, 2]", "[1e400]")),
    "shape with 5000 digits": safetensors(json.dumps(entry()).replace("[2, 2]", f"[{'9' * 5000}]")),
    "shape of nine": safetensors(entry(shape=[2, 2, *[1] * 7])),
    "shape of 4000": safetensors(entry(shape=[1] * 4000)),
    "shape 2^64": safetensors(entry(shape=[2**64])),
    "shape product wraps to 4": safetensors(entry(shape=[2**62 + 1, 4])),
    "shape product wraps to 0": safetensors(entry(shape=[2**32, 2**32], data_offsets=[0, 0]), b""),
    "shape zero times huge": safetensors(entry(shape=[0, 2**63], data_offsets=[0, 0]), b""),
    "offsets missing": safetensors(lacking("data_offsets")),
    "offsets null": safetensors(entry(data_offsets=None)),
    "offsets a number": safetensors(entry(data_offsets=16)),
    "offsets empty": safetensors(entry(data_offsets=[])),
    "one offset": safetensors(entry(data_offsets=[16])),
    "three offsets": safetensors(entry(data_offsets=[0, 8, 16])),
    "offsets reversed": safetensors(entry(data_offsets=[16, 0])),
    "offsets negative": safetensors(entry(data_offsets=[-16, 0])),
    "offsets are fractions": safetensors(entry(data_offsets=[0.0, 16.0])),
    "offsets are texts": safetensors(entry(data_offsets=["0", "16"])),
    "offsets behind the file": safetensors(entry(data_offsets=[16, 32])),
    "offsets near 2^64": safetensors(entry(data_offsets=[2**64 - 16, 2**64])),
    "size larger than the shape": safetensors(entry(shape=[2]), DATA),
    "size smaller than the shape": safetensors(entry(shape=[8]), DATA),
    "overlap": safetensors(pair((0, 10), (6, 16))),
    "two on the same bytes": safetensors(pair((0, 16), (0, 16))),
    "one inside the other": safetensors(pair((0, 16), (4, 8))),
    "gap at the start": safetensors(pair((4, 8), (8, 16))),
    "gap in between": safetensors(pair((0, 6), (8, 16))),
    "data behind the last": safetensors(entry(), DATA + b"PK\x03\x04"),
    "last byte missing": safetensors(entry(), DATA[:-1]),
    "no data": safetensors(entry(), b""),
    "notes are null": safetensors({**entry(), "__metadata__": None}),
    "notes are a list": safetensors({**entry(), "__metadata__": []}),
    "notes with a number": safetensors({**entry(), "__metadata__": {"a": 1}}),
    "notes are nested": safetensors({**entry(), "__metadata__": {"a": {"b": "c"}}}),
    "note twice": safetensors('{"__metadata__":{"a":"b","a":"c"},' + json.dumps(entry())[1:]),
    "notes twice": safetensors('{"__metadata__":{},"__metadata__":{},' + json.dumps(entry())[1:]),
    "notes cut": safetensors('{"__metadata__":{"a":"b"'),
    "deep objects": safetensors('{"a":' * 100_000 + "}" * 100_000),
    "deep lists": safetensors('{"a":{"shape":' + "[" * 100_000),
    "deep lists in an entry": safetensors('{"a":{"shape":' + "[" * 4000 + "]" * 4000 + "}}"),
    "a Git LFS placeholder": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "a web page": b"<!DOCTYPE html><html><body>Not found</body></html>",
    "a GGUF file": b"GGUF\x03\0\0\0" + bytes(40),
    "a zip file": b"PK\x03\x04" + bytes(60),
    "a pickle": b"\x80\x02}q\x00." + bytes(20),
}  # fmt: skip


def _many(count: int) -> str:
    empty = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    return "{" + ",".join(f'"{number}":{empty}' for number in range(count)) + "}"


def _many_notes(count: int) -> str:
    notes = ",".join(f'"{number}":""' for number in range(count))
    return f'{{"__metadata__":{{{notes}}},"a":{{{_FIELD}}}}}'


#: Files that are made when they are needed, because they are large.
_LARGE: dict[str, Callable[[], bytes]] = {
    "header is 99 MB of spaces": lambda: safetensors(b" " * 99_000_000),
    "60,000 empty tensors": lambda: safetensors(_many(60_000), b""),
    "50,000 tensors and a gap": lambda: safetensors(_many(50_000), b"x"),
    "120,000 notes": lambda: safetensors(_many_notes(120_000)),
    "20 MB of lists": lambda: safetensors('{"a":[' + "[]," * 7_000_000 + "[]]}"),
}


def malformed_safetensors() -> Iterator[Case]:
    """A damaged model.safetensors beside a sound config.json."""
    for name, content in _SAFETENSORS.items():
        files = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": content}
        yield Case(f"safetensors: {name}", partial(write_files, files))
    for name, make in _LARGE.items():
        yield Case(f"safetensors: {name}", partial(_write_large, make))
    yield Case("safetensors: 200 MB header", partial(_sparse, "model.safetensors", 200_000_000))


def _write_large(make: Callable[[], bytes], folder: Path) -> Path:
    files = {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": make()}
    return write_files(files, folder)


def _sparse(name: str, length: int, folder: Path) -> Path:
    write_files({"config.json": json.dumps(CONFIG).encode()}, folder)
    with (folder / name).open("wb") as file:
        file.write(struct.pack("<Q", length) + b"{")
        file.truncate(length + 100)
    return folder
