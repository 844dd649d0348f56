"""Where everything is in the safetensors files of a folder, and how a model is split over several.

A file is a length of 8 bytes, a header in JSON, and the tensors without gaps. Names of parts follow
Hugging Face's convention, model-00001-of-00003.safetensors, with an index that says what is where.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

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

    @classmethod
    def of(cls, tensor: PlannedTensor, encoding: Encoding) -> Entry:
        """What `encoding` makes of a tensor.

        Raises:
            ValueError: It cannot hold the tensor's shape.
        """
        found = _stored(tensor.shape, encoding)
        planned = replace(tensor, encoding=found.encoding, nbytes=found.nbytes)
        return cls(planned, found.named(tensor.name, encoding))

    @property
    def alignment(self) -> int:
        """Bytes of its widest number."""
        return max(DTYPE_BYTES[part.dtype] for part in self.parts)


def stored_parts(name: str, shape: tuple[int, ...], encoding: Encoding) -> tuple[Part, ...]:
    """The tensors of a file that a weight becomes.

    Raises:
        ValueError: The encoding cannot hold that shape, or what follows would not be aligned.
    """
    return _stored(shape, encoding).named(name, encoding)


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
    shards = _shards(entries, limit or SHARD_BYTES)
    files: list[PlannedFile] = []
    tensors: list[PlannedTensor] = []
    places: dict[str, str] = {}
    for number, shard in enumerate(shards):
        name = SINGLE
        if len(shards) > 1:
            name = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        # The widest numbers first: then all of them are aligned.
        shard.sort(key=lambda entry: -entry.alignment)
        header = _header(shard, made_for)
        end = len(header)
        for entry in shard:
            tensors.append(replace(entry.tensor, offset=end, file=number))
            end += entry.tensor.nbytes
            for part in entry.parts:
                places[part.name] = name
        files.append(PlannedFile(header, end, name=name))
    if len(shards) > 1:
        files.append(_index(entries, places))
    return files, tensors


def _shards(entries: Sequence[Entry], limit: int) -> list[list[Entry]]:
    """Fill one file after the other; none is empty."""
    shards: list[list[Entry]] = [[]]
    taken = 0
    for entry in entries:
        if shards[-1] and taken + entry.tensor.nbytes > limit:
            shards.append([])
            taken = 0
        shards[-1].append(entry)
        taken += entry.tensor.nbytes
    return shards


def _header(entries: Sequence[Entry], made_for: str) -> bytes:
    fields: dict[str, object] = {"__metadata__": {"format": made_for}}
    end = 0
    for entry in entries:
        for part in entry.parts:
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


def small_file(name: str, content: bytes) -> PlannedFile:
    """A file without tensors."""
    return PlannedFile(content, len(content), name=name)


def json_bytes(fields: object) -> bytes:
    """A file of JSON as people write it."""
    return (json.dumps(fields, indent=2, ensure_ascii=False) + "\n").encode()
