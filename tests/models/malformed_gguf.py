"""Damaged GGUF files, made byte by byte."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.models.case import Case, write_files

U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, LIST, U64, I64, F64 = range(13)


def string(text: str | bytes, length: int | None = None) -> bytes:
    """A GGUF string; `length` may lie."""
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def note(key: str | bytes, kind: int, value: bytes) -> bytes:
    """A metadata entry."""
    return string(key) + struct.pack("<I", kind) + value


def many(kind: int, count: int, items: bytes = b"") -> bytes:
    """The value of a list."""
    return struct.pack("<IQ", kind, count) + items


def tensor(
    name: str | bytes = "a", dims: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0
) -> bytes:
    """A tensor's entry; `dims` innermost first, as in the file."""
    shape = struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
    return string(name) + shape + struct.pack("<IQ", kind, offset)


ARCHITECTURE = note("general.architecture", TEXT, string("llama"))


def gguf(
    *tensors: bytes,
    notes: tuple[bytes, ...] = (ARCHITECTURE,),
    data: bytes = bytes(64),
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> bytes:
    """A GGUF file; `counts` of tensors and notes may lie."""
    claimed = counts or (len(tensors), len(notes))
    head = b"GGUF" + struct.pack("<IQQ", version, *claimed) + b"".join(notes) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + data


def _number(kind: str, value: float) -> bytes:
    return struct.pack(f"<{kind}", value)


def _with(*notes: bytes) -> bytes:
    return gguf(tensor(), notes=(ARCHITECTURE, *notes))


def _aligned(kind: int, value: bytes) -> bytes:
    return _with(note("general.alignment", kind, value))


_SOUND = gguf(tensor())

_GGUF: dict[str, bytes] = {
    "empty file": b"",
    "one byte": b"G",
    "magic only": b"GGUF",
    "other magic": b"GGML" + _SOUND[4:],
    "small letters": b"gguf" + _SOUND[4:],
    **{f"cut at {at}": _SOUND[:at] for at in (5, 8, 12, 20, 23, 24, 30, 52, 60, 70, 80, 96, 100)},
    "version 0": gguf(tensor(), version=0),
    "version 1": gguf(tensor(), version=1),
    "version 4": gguf(tensor(), version=4),
    "version 2^32-1": gguf(tensor(), version=2**32 - 1),
    "big endian 3": gguf(tensor(), version=3 << 24),
    "big endian 2": gguf(tensor(), version=2 << 24),
    "2^64-1 tensors": gguf(tensor(), counts=(2**64 - 1, 1)),
    "2^63 tensors": gguf(tensor(), counts=(2**63, 1)),
    "a million tensors": gguf(tensor(), counts=(1_000_000, 1)),
    "one tensor too few": gguf(tensor(), counts=(2, 1)),
    "2^64-1 notes": gguf(tensor(), counts=(1, 2**64 - 1)),
    "a million notes": gguf(tensor(), counts=(1, 1_000_000)),
    "one note too few": gguf(tensor(), counts=(1, 2)),
    "no tensors": gguf(),
    "key is empty": _with(note("", U8, b"\1")),
    "key with NUL": _with(note("a\0b", U8, b"\1")),
    "key with line end": _with(note("a\nb", U8, b"\1")),
    "key that is not utf-8": _with(note(b"\xff\xfe", U8, b"\1")),
    "key of 2000 bytes": _with(note("k" * 2000, U8, b"\1")),
    "key of 2^64-1 bytes": _with(string("k", 2**64 - 1)),
    "key longer than the file": _with(string("k", 10_000)),
    "key twice": _with(note("k", U8, b"\1"), note("k", U8, b"\2")),
    **{f"value type {kind}": _with(note("k", kind, b"\1")) for kind in (13, 255, 2**32 - 1)},
    "text of 2^64-1 bytes": _with(note("k", TEXT, string("v", 2**64 - 1))),
    "text of 2^63 bytes": _with(note("k", TEXT, string("v", 2**63))),
    "text longer than the file": _with(note("k", TEXT, string("v", 10_000))),
    "list of 2^63": _with(note("k", LIST, many(U8, 2**63))),
    "49 bytes that hang others": (
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + note("k", LIST, many(U8, 2**63))
    ),
    "list of 2^64-1 texts": _with(note("k", LIST, many(TEXT, 2**64 - 1))),
    "list of 2^61 numbers": _with(note("k", LIST, many(U64, 2**61))),
    "list of 10000 in a small file": _with(note("k", LIST, many(U32, 10_000))),
    "list of 10000 texts in a small file": _with(note("k", LIST, many(TEXT, 10_000))),
    "list of 5 million bytes": _with(note("k", LIST, many(U8, 5_000_000, bytes(5_000_000)))),
    "lists that add up": _with(
        *(note(f"k{n}", LIST, many(U8, 1_500_000, bytes(1_500_000))) for n in range(3))
    ),
    "list of lists": _with(note("k", LIST, many(LIST, 1, many(U8, 1, b"\1")))),
    "list of type 13": _with(note("k", LIST, many(13, 1, b"\1"))),
    "list with a long text": _with(note("k", LIST, many(TEXT, 1, string("v", 2**40)))),
    "bool is 2": _with(note("k", BOOL, b"\2")),
    "bool in a list is 255": _with(note("k", LIST, many(BOOL, 3, b"\0\1\xff"))),
    "alignment 0": _aligned(U32, _number("I", 0)),
    "alignment 3": _aligned(U32, _number("I", 3)),
    "alignment 48": _aligned(U32, _number("I", 48)),
    "alignment 2^21": _aligned(U32, _number("I", 2**21)),
    "alignment 2^31": _aligned(U32, _number("I", 2**31)),
    "alignment is a text": _aligned(TEXT, string("32")),
    "alignment is a fraction": _aligned(F32, _number("f", 32)),
    "alignment is of 64 bits": _aligned(U64, _number("Q", 32)),
    "alignment is a list": _aligned(LIST, many(U32, 1, _number("I", 32))),
    "name is empty": gguf(tensor("")),
    "name with NUL": gguf(tensor("a\0b")),
    "name with escape": gguf(tensor("a\x1b[2Jb")),
    "name that is not utf-8": gguf(tensor(b"\xc3\x28")),
    "name of 1025 bytes": gguf(tensor("n" * 1025)),
    "name of 2^64-1 bytes": gguf(string("a", 2**64 - 1)),
    "name twice": gguf(tensor("a"), tensor("a", offset=32)),
    "no dimensions": gguf(tensor(dims=())),
    "five dimensions": gguf(tensor(dims=(4, 1, 1, 1, 1))),
    "2^32-1 dimensions": gguf(string("a") + struct.pack("<I", 2**32 - 1)),
    "dimension 0": gguf(tensor(dims=(0,))),
    "dimension 0 in the middle": gguf(tensor(dims=(4, 0, 1))),
    "dimension 2^64-1": gguf(tensor(dims=(2**64 - 1,))),
    "product wraps to 0": gguf(tensor(dims=(2**32, 2**32))),
    "product wraps to 4": gguf(tensor(dims=(2**62 + 1, 4))),
    "bytes wrap to 0": gguf(tensor(dims=(2**62,))),
    "larger than the file": gguf(tensor(dims=(1_000_000,))),
    "one number too many": gguf(tensor(dims=(17,))),
    "type 256": gguf(tensor(kind=256)),
    "type 2^32-1": gguf(tensor(kind=2**32 - 1)),
    "row of 33 in Q4_0": gguf(tensor(dims=(33,), kind=2)),
    "row of 128 in Q4_K": gguf(tensor(dims=(128, 2), kind=12), data=bytes(256)),
    "place not aligned": gguf(tensor(offset=4)),
    "place 2^64-64": gguf(tensor(offset=2**64 - 64)),
    "place 2^64-32": gguf(tensor(offset=2**64 - 32)),
    "place behind the file": gguf(tensor(offset=1024)),
    "place at the end of the file": gguf(tensor(offset=64)),
    "place at the end, unknown type": gguf(tensor(kind=99, offset=64)),
    "overlap": gguf(tensor("a", (16,)), tensor("b", offset=32)),
    "two on the same bytes": gguf(tensor("a"), tensor("b")),
    "two of unknown type on the same bytes": gguf(tensor("a", kind=99), tensor("b", kind=98)),
    "no data": gguf(tensor(), data=b""),
    "data cut": gguf(tensor(), data=bytes(15)),
    "architecture is a number": gguf(tensor(), notes=(note("general.architecture", U8, b"\1"),)),
    "architecture is a list": gguf(
        tensor(), notes=(note("general.architecture", LIST, many(TEXT, 1, string("llama"))),)
    ),
    "name is a number": _with(note("general.name", F32, _number("f", 1))),
    "context is a text": _with(note("llama.context_length", TEXT, string("long"))),
    "context is negative": _with(note("llama.context_length", I32, _number("i", -1))),
    "layers are a list": _with(note("llama.block_count", LIST, many(U32, 0))),
    "width is NaN": _with(note("llama.embedding_length", F32, _number("f", float("nan")))),
    "part without its name": _with(note("split.count", U16, _number("H", 3))),
    "a Git LFS placeholder": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    "a web page": b"<html><body>Please log in</body></html>",
    "noise": bytes(range(256)) * 16,
}


def part(number: int, count: int, *tensors: bytes, total: int = 2) -> bytes:
    """A part of a split file."""
    notes = (
        note("split.no", U16, _number("H", number)),
        note("split.count", U16, _number("H", count)),
        note("split.tensors.count", I32, _number("i", total)),
    )
    return gguf(*tensors, notes=(ARCHITECTURE, *notes))


_FIRST, _SECOND = "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"

_SPLIT: dict[str, dict[str, bytes]] = {
    "first part alone": {_FIRST: part(0, 2, tensor("a"))},
    "second part alone": {_SECOND: part(1, 2, tensor("b"))},
    "parts swapped": {_FIRST: part(1, 2, tensor("a")), _SECOND: part(0, 2, tensor("b"))},
    "parts of different counts": {
        _FIRST: part(0, 2, tensor("a")),
        _SECOND: part(1, 3, tensor("b")),
    },
    "parts with the same tensor": {
        _FIRST: part(0, 2, tensor("a")),
        _SECOND: part(1, 2, tensor("a")),
    },
    "parts with too few tensors": {
        _FIRST: part(0, 2, tensor("a"), total=3),
        _SECOND: part(1, 2, tensor("b"), total=3),
    },
    "parts without notes": {_FIRST: gguf(tensor("a")), _SECOND: gguf(tensor("b"))},
    "part 5 of 2": {"m-00005-of-00002.gguf": part(4, 2, tensor("a"))},
    "part 0 of 0": {"m-00000-of-00000.gguf": part(0, 0, tensor("a"))},
}


def malformed_gguf() -> Iterator[Case]:
    """Damaged GGUF files, whole and split."""
    for name, content in _GGUF.items():
        yield Case(f"gguf: {name}", partial(write_files, {"m.gguf": content}, choose="m.gguf"))
    for name, files in _SPLIT.items():
        first = next(iter(files))
        yield Case(f"gguf: {name}", partial(write_files, files, choose=first))
    for name, length, count in (("a text of 20 MB", 20_000_000, 1), ("75 MB", 15_000_000, 5)):
        yield Case(f"gguf: notes with {name}", partial(_sparse, length, count))


def _sparse(length: int, count: int, folder: Path) -> Path:
    """A file whose notes are `count` texts of `length` zeros that take no space on the disk."""
    path = folder / "m.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 1, count))
        for number in range(count):
            file.write(note(f"k{number}", TEXT, string(b"", length)))
            file.seek(length, 1)
        file.write(tensor())
        file.truncate(file.tell() + 1000)
    return path
