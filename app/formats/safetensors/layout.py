"""Where everything is in the safetensors files of a folder, and how a model is split over several.

A file is a length of 8 bytes, a header in JSON, and the tensors without gaps. Names of parts follow
Hugging Face's convention, model-00001-of-00003.safetensors, with an index that says what is where.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from app.core.plan import PlannedFile, PlannedTensor
from app.encodings.base import DTYPE_BYTES, Block, Encoding, Part
from app.encodings.folder import FolderEncoding, in_file_order

SHARD_BYTES = 5_000_000_000
"""Largest size of a file, where a recipe does not say: what Hugging Face splits at."""
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A planned tensor whose place is not known yet, and the tensors that it is in the file."""

    tensor: PlannedTensor
    parts: tuple[Part, ...]
    """In their order, by their full names."""
    stack: str = ""
    """The name of the weight that it is one matrix of in the file; "": it is one by itself."""

    @classmethod
    def of(cls, tensor: PlannedTensor, encoding: Encoding, stack: str = "") -> Entry:
        """What `encoding` makes of a tensor.

        Raises:
            ValueError: It cannot hold the tensor's shape.
        """
        found = _stored(tensor.shape, encoding)
        planned = replace(tensor, encoding=found.encoding, nbytes=found.nbytes)
        return cls(planned, found.named(stack or tensor.name, encoding), stack)


@dataclass(frozen=True, slots=True)
class _Unit:
    """Tensors that lie together: one, or the matrices of a stack, part by part."""

    entries: tuple[Entry, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        """What the file lists."""
        parts, count = self.entries[0].parts, len(self.entries)
        if not self.entries[0].stack:
            return parts
        return tuple(Part(part.name, (count, *part.shape), part.dtype) for part in parts)

    @property
    def nbytes(self) -> int:
        return sum(entry.tensor.nbytes for entry in self.entries)

    @property
    def alignment(self) -> int:
        """Bytes of its widest number."""
        return max(DTYPE_BYTES[part.dtype] for part in self.entries[0].parts)

    def placed(self, start: int, file: int) -> Iterator[PlannedTensor]:
        """Its tensors, where the first byte of all is at `start`."""
        if not self.entries[0].stack:
            yield replace(self.entries[0].tensor, offset=start, file=file)
            return
        sizes = [part.nbytes for part in self.entries[0].parts]
        begins = list(accumulate((len(self.entries) * size for size in sizes), initial=start))
        for number, entry in enumerate(self.entries):
            pairs = zip(begins, sizes, strict=False)
            apart = tuple(begin + number * size for begin, size in pairs)
            yield replace(entry.tensor, offset=apart[0], file=file, apart=apart)


def _units(entries: Sequence[Entry]) -> list[_Unit]:
    """Each tensor, and each stack in the place of its first matrix."""
    stacks: dict[str, list[Entry]] = {}
    for entry in entries:
        stacks.setdefault(entry.stack or entry.tensor.name, []).append(entry)
    return [_Unit(tuple(together)) for together in stacks.values()]


@dataclass(frozen=True, slots=True)
class _Stored:
    """Any weight of one shape in one encoding; mixtures have thousands that are alike."""

    encoding: str
    parts: tuple[Part, ...]
    """Without the weight's name, in their order."""
    nbytes: int

    def named(self, weight: str, encoding: Encoding) -> tuple[Part, ...]:
        """The parts of one weight by their names in the file."""
        if not isinstance(encoding, FolderEncoding):
            return (replace(self.parts[0], name=weight),)
        names = [encoding.tensor_name(weight, part.name) for part in self.parts]
        pairs = zip(names, self.parts, strict=True)
        return tuple(Part(name, part.shape, part.dtype) for name, part in pairs)


@lru_cache(maxsize=4096)
def _stored(shape: tuple[int, ...], encoding: Encoding) -> _Stored:
    if isinstance(encoding, Block):
        parts: tuple[Part, ...] = (Part("", shape, encoding.name),)
    else:
        parts = in_file_order(encoding.layout(shape))
    nbytes = sum(part.nbytes for part in parts)
    if nbytes % DTYPE_BYTES[parts[0].dtype]:
        raise ValueError(f"{encoding.name} cannot be aligned in the shape {shape}")
    return _Stored(encoding.name, parts, nbytes)


def lay_out(
    entries: Sequence[Entry], made_for: str, limit: int = 0
) -> tuple[list[PlannedFile], list[PlannedTensor]]:
    """The files of weights, with their index behind them, and every tensor with its place.

    Args:
        entries: All tensors, in the order of the model.
        made_for: What the header says in "format".
        limit: Bytes that a file may have; one that holds a larger tensor holds nothing else.
    """
    shards = _shards(_units(entries), limit or SHARD_BYTES)
    files: list[PlannedFile] = []
    tensors: list[PlannedTensor] = []
    places: dict[str, str] = {}
    for number, shard in enumerate(shards):
        name = SINGLE
        if len(shards) > 1:
            name = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        # The widest numbers first: then all of them are aligned.
        shard.sort(key=lambda unit: -unit.alignment)
        header = _header(shard, made_for)
        end = len(header)
        for unit in shard:
            tensors += unit.placed(end, number)
            end += unit.nbytes
            for part in unit.entries[0].parts:
                places[part.name] = name
        files.append(PlannedFile(header, end, name=name))
    if len(shards) > 1:
        files.append(_index(entries, places))
    return files, tensors


def _shards(units: Sequence[_Unit], limit: int) -> list[list[_Unit]]:
    """Fill one file after the other; none is empty."""
    shards: list[list[_Unit]] = [[]]
    taken = 0
    for unit in units:
        nbytes = unit.nbytes
        if shards[-1] and taken + nbytes > limit:
            shards.append([])
            taken = 0
        shards[-1].append(unit)
        taken += nbytes
    return shards


def _header(units: Sequence[_Unit], made_for: str) -> bytes:
    fields: dict[str, object] = {"__metadata__": {"format": made_for}}
    end = 0
    for unit in units:
        for part in unit.parts:
            start, end = end, end + part.nbytes
            fields[part.name] = {
                "dtype": part.dtype,
                "shape": part.shape,
                "data_offsets": (start, end),
            }
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _index(entries: Sequence[Entry], places: dict[str, str]) -> PlannedFile:
    total = sum(entry.tensor.nbytes for entry in entries)
    fields = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    return small_file(INDEX, json_bytes(fields))


def small_file(name: str, content: bytes, *, grows: bool = False) -> PlannedFile:
    """A file without tensors."""
    return PlannedFile(content, len(content), name=name, grows=grows)


def json_bytes(fields: object) -> bytes:
    """A file of JSON as people write it."""
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()
