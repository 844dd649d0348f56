"""Where everything in a GGUF file is, and how a model is split over several.

Parts follow llama.cpp's convention: NAME-00001-of-00003.gguf and so on, each a GGUF file of its
own that says which part it is. The first has the metadata of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from app.core.plan import PlannedFile
from app.formats.gguf.header import ALIGNMENT, Metadata, TensorEntry, encode_header, padded
from app.models.gguf_header import GgufValue, ValueType

_NOTHING = Metadata.of({})


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor is."""

    file: int
    offset: int
    """Counted from the start of the file."""


def lay_out(
    metadata: Metadata, tensors: Sequence[TensorEntry], limit: int = 0
) -> tuple[tuple[PlannedFile, ...], tuple[Place, ...]]:
    """The files, and each tensor's place in them, in the order of `tensors`.

    Args:
        metadata: What the model says about itself.
        tensors: All of them.
        limit: Bytes that a file may have; one that holds a larger tensor holds nothing else.
            0: one file.
    """
    parts = _parts(metadata, tensors, limit) if limit else [list(tensors)]
    files: list[PlannedFile] = []
    places: list[Place] = []
    for number, part in enumerate(parts):
        own = metadata if number == 0 else _NOTHING
        suffix = ""
        if len(parts) > 1:
            own += _about_part(number, len(parts), len(tensors))
            suffix = f"-{number + 1:05}-of-{len(parts):05}"
        header = encode_header(own, part)
        ends = list(accumulate((padded(one.nbytes) for one in part), initial=len(header)))
        places += [Place(number, offset) for offset in ends[:-1]]
        files.append(PlannedFile(header, ends[-1], suffix))
    return tuple(files), tuple(places)


def _parts(
    metadata: Metadata, tensors: Sequence[TensorEntry], limit: int
) -> list[list[TensorEntry]]:
    """Fill one part after the other; no part is empty."""
    start = len(encode_header(_about_part(0, 0, 0), ())) + ALIGNMENT
    taken = start + len(metadata.data)
    parts: list[list[TensorEntry]] = [[]]
    for tensor in tensors:
        more = tensor.header_bytes + padded(tensor.nbytes)
        if parts[-1] and taken + more > limit:
            parts.append([])
            taken = start
        parts[-1].append(tensor)
        taken += more
    return parts


def _about_part(number: int, count: int, tensors: int) -> Metadata:
    return Metadata.of(
        {
            "split.no": GgufValue(ValueType.UINT16, number),
            "split.count": GgufValue(ValueType.UINT16, count),
            "split.tensors.count": GgufValue(ValueType.INT32, tensors),
        }
    )
