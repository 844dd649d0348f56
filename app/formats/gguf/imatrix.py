"""Importance matrices: what the columns of each weight are multiplied with, in llama.cpp's files.

The file is a GGUF file of the type "imatrix": for each tensor `<name>.in_sum2`, the sums of the
squares of its inputs, F32 (matrices, in), and `<name>.counts`, over how many tokens, F32
(matrices, 1). A tensor has one matrix, or one for each expert. Older files (.dat) are lists of
name, number of chunks and (mean of squares times that number), without counts by expert.

See tools/imatrix and common/imatrix-loader.cpp of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.errors import BadModelFile
from app.core.files import write_atomic
from app.formats.gguf.header import Metadata, TensorEntry, encode_header, padded, typed
from app.formats.gguf.imatrix_dat import is_dat, read_dat
from app.models.gguf_header import GgufHeader, read_gguf_header
from app.models.source_file import SourceFile
from app.models.stored_rows import plain_rows

if TYPE_CHECKING:
    from torch import Tensor

_SUMS, _COUNTS = ".in_sum2", ".counts"
_F32 = 0
_DAT_CHUNK = 512  # tokens; older files do not say, and this is llama-imatrix's default


@dataclass(frozen=True, slots=True)
class Squares:
    """What is known of one tensor."""

    sums: Tensor
    """Sums of the squares of the inputs, (matrices, in), float32."""
    counts: Tensor
    """Tokens that they are sums over, (matrices,), float32."""

    def means(self) -> Tensor:
        """Mean squares, (matrices, in). A matrix that no token reached gets the others' mean."""
        seen = self.counts > 0
        means = self.sums / self.counts.clamp(min=1)[:, None]
        others = means[seen].mean(0) if seen.any() else means.new_ones(means.shape[1])
        means[~seen] = others
        return means


@dataclass(frozen=True, slots=True)
class ImportanceMatrix:
    """How much an error in each column of each weight matters."""

    tensors: Mapping[str, Squares]
    """By the names of GGUF files."""
    datasets: tuple[str, ...] = ()
    """Names of the texts."""
    chunks: int = 0
    """Windows of text that were read."""
    chunk_size: int = 0
    """Tokens a window."""

    def columns(self, name: str, matrix: int = 0, width: int = 0) -> Tensor | None:
        """Mean squares of the inputs of one matrix, (in,), float32; None where nothing is known.

        Args:
            name: The tensor, by GGUF's name.
            matrix: Which of its matrices. One that stands for all answers for any.
            width: Columns of the tensor that is to be quantized; 0: as many as there are.

        Raises:
            BadModelFile: The tensor has other columns than the file was made for.
        """
        squares = self.tensors.get(name)
        if squares is None:
            return None
        means = squares.means()
        if width and means.shape[1] != width:
            if len(means) != 1 or means.shape[1] % width:
                raise _of_another_model(f"{name}: {means.shape[1]} columns instead of {width}")
            means = means.reshape(-1, width)  # matrices counted together lie one after the other
        if len(means) > 1 and matrix >= len(means):
            raise _of_another_model(f"{name}: {len(means)} matrices, number {matrix} is asked for")
        return means[matrix if len(means) > 1 else 0]

    def gaps(self) -> str:
        """A sentence on the experts that no token reached; empty where there are none."""
        missed = {name: int((it.counts == 0).sum()) for name, it in self.tensors.items()}
        missed = {name: count for name, count in missed.items() if count}
        if not missed:
            return ""
        worst = max(sorted(missed), key=lambda name: missed[name])
        more = f", and some in {len(missed) - 1} other tensors" if len(missed) > 1 else ""
        return (
            f"The text did not reach {missed[worst]} of the {len(self.tensors[worst].counts)} "
            f"experts in {worst}{more}. They are treated like the average of the others; a longer "
            "or more varied text may reach them."
        )

    def save(self, path: Path) -> None:
        """Write a file that llama.cpp reads; it is complete or absent."""
        write_atomic(path, b"".join(self._parts()))

    def _parts(self) -> list[bytes]:
        values = {
            "general.type": typed("imatrix"),
            "imatrix.datasets": typed(self.datasets or ("unknown",)),
            "imatrix.chunk_count": typed(self.chunks),
            "imatrix.chunk_size": typed(self.chunk_size),
        }
        arrays: dict[str, Tensor] = {}
        for name in sorted(self.tensors):
            squares = self.tensors[name]
            arrays[name + _SUMS] = squares.sums
            arrays[name + _COUNTS] = squares.counts[:, None]
        entries = [
            TensorEntry(name, tuple(array.shape), _F32, array.nbytes)
            for name, array in arrays.items()
        ]
        data = [array.contiguous().numpy().tobytes() for array in arrays.values()]
        return [
            encode_header(Metadata.of(values), entries),
            *(part.ljust(padded(len(part)), b"\0") for part in data),
        ]


def is_imatrix(path: Path) -> bool:
    """Whether a file says that it is an importance matrix, new or old.

    Raises:
        BadModelFile: It is damaged.
    """
    if path.suffix.lower() == ".dat":
        return True
    return path.suffix.lower() == ".gguf" and _is_new(read_gguf_header(SourceFile.look(path)))


def _is_new(header: GgufHeader) -> bool:
    return bool(header.get("general.type") == "imatrix")


def read_imatrix(path: Path) -> ImportanceMatrix:
    """Read a file of llama.cpp's, or one of ours; new or old.

    Raises:
        BadModelFile: It is damaged, or no importance matrix.
    """
    source = SourceFile.look(path)
    if is_dat(source):
        return _from_dat(source)
    header = read_gguf_header(source)
    if not _is_new(header):
        raise BadModelFile(
            f"{path.name} is no importance matrix.",
            "It may be a model. Choose a file that llama-imatrix or this application made.",
        )
    names = [name.removesuffix(_SUMS) for name in header.tensors if name.endswith(_SUMS)]
    tensors = {name: _squares(source, header, name) for name in names}
    if not tensors:
        raise source.damaged("it holds no importances")
    datasets = header.get("imatrix.datasets", ())
    return ImportanceMatrix(
        tensors,
        tuple(map(str, datasets)) if isinstance(datasets, tuple) else (),
        _count(header, "imatrix.chunk_count"),
        _count(header, "imatrix.chunk_size"),
    )


def _of_another_model(details: str) -> BadModelFile:
    return BadModelFile(
        "The importance matrix belongs to another model.",
        "Choose the file that was made from this model, or make a new one.",
        details,
    )


def _count(header: GgufHeader, key: str) -> int:
    value = header.get(key, 0)
    return value if isinstance(value, int) and value >= 0 else 0


def _squares(source: SourceFile, header: GgufHeader, name: str) -> Squares:
    if name + _COUNTS not in header.tensors:
        raise source.damaged(f"it does not say how often {name!r} was used")
    sums, counts = (_array(source, header, name + end) for end in (_SUMS, _COUNTS))
    if counts.numel() != len(sums):
        raise source.damaged(f"{name!r} has {counts.numel()} counts for {len(sums)} matrices")
    return _checked(source, name, sums, counts.flatten())


def _array(source: SourceFile, header: GgufHeader, name: str) -> Tensor:
    tensor = header.tensors[name]
    if tensor.ggml_id != _F32:
        raise source.damaged(f"{name!r} is {tensor.info.dtype}, not F32")
    return plain_rows(source, tensor.offset, tensor.info, 0, None).clone()


def _checked(source: SourceFile, name: str, sums: Tensor, counts: Tensor) -> Squares:
    for array in (sums, counts):
        if not (array.isfinite().all() and (array >= 0).all()):
            raise source.damaged(f"{name!r} has importances that are not possible")
    return Squares(sums, counts)


def _from_dat(source: SourceFile) -> ImportanceMatrix:
    import torch

    found = read_dat(source)
    tensors = {}
    for entry in found.entries:
        values = torch.tensor(entry.values, dtype=torch.float32)[None]
        chunks = max(1, entry.chunks)  # 0: values are the means themselves
        counts = torch.tensor([float(chunks * _DAT_CHUNK)])
        tensors[entry.name] = _checked(source, entry.name, values * _DAT_CHUNK, counts)
    return ImportanceMatrix(tensors, found.datasets, found.chunks, _DAT_CHUNK)
