"""GGUF files that go with a model: adapters, and the parts that see.

They are small, and no recipe with exceptions applies: every matrix gets the wanted encoding, as far
as its rows divide into blocks, and everything else stays exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.errors import Unsupported
from app.core.plan import ImportanceFacts, Plan, PlannedTensor
from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.encodings.base import Block
from app.formats.base import Conversion
from app.formats.gguf.header import Metadata, TensorEntry
from app.formats.gguf.layout import lay_out
from app.formats.gguf.metadata import recipe_metadata
from app.models.architectures.changes import AS_IS, Change, Reader, Shape
from app.models.gguf_header import GgufValue

if TYPE_CHECKING:
    from torch import Tensor

FILE_TYPES = {"F32": 0, "F16": 1, "Q8_0": 7, "BF16": 32}
"""Formats of such files, with llama.cpp's numbers."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One tensor of the file."""

    name: str
    sources: tuple[Reader, ...]
    nbytes: int
    """Bytes of the sources."""
    change: Change = AS_IS
    kept: str = ""
    """Encoding that it has in every format; "": that of the format."""
    fixed: bool = False
    """Whether the runtime takes only F32 and F16, as for convolutions."""

    @property
    def shape(self) -> Shape:
        """Shape in the file, row-major."""
        return self.change.shape([source.shape for source in self.sources])

    def encoding(self, wanted: str) -> str:
        """What it is stored in where the format is `wanted`."""
        if self.kept:
            return self.kept
        if self.fixed:
            return "F16" if wanted == "F16" else "F32"
        encoding = ENCODINGS[wanted]
        assert isinstance(encoding, Block)
        return wanted if encoding.fits(self.shape[-1]) else "F16"


class Companion(Conversion):
    """A list of pieces, and what the file says about them."""

    def __init__(
        self, pieces: Sequence[Piece], metadata: Mapping[str, GgufValue], notes: Sequence[str] = ()
    ) -> None:
        self._pieces = {piece.name: piece for piece in pieces}
        self._metadata = Metadata.of(metadata)
        self._notes = tuple(notes)

    @override
    def plan(self, recipe: Recipe, importance: ImportanceFacts | None = None) -> Plan:
        if recipe.preset not in FILE_TYPES:
            raise Unsupported(
                f"Such a file cannot be stored in {recipe.preset}.",
                f"Choose one of: {', '.join(FILE_TYPES)}.",
            )
        entries, encodings = [], []
        for piece in self._pieces.values():
            encodings.append(piece.encoding(recipe.preset))
            encoding = ENCODINGS[encodings[-1]]
            assert isinstance(encoding, Block)
            nbytes = encoding.nbytes(piece.shape)
            entries.append(TensorEntry(piece.name, piece.shape, encoding.ggml_id, nbytes))
        about = recipe_metadata(FILE_TYPES[recipe.preset], importance)
        files, places = lay_out(self._metadata + about, entries)
        tensors = tuple(
            PlannedTensor(entry.name, entry.shape, encoding, place.offset, entry.nbytes, ())
            for entry, encoding, place in zip(entries, encodings, places, strict=True)
        )
        return Plan(recipe.preset, tensors, files, self._notes)

    @override
    def rows(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor:
        import torch

        piece = self._pieces[tensor.name]
        return piece.change.rows(piece.sources, start, stop).to(torch.float32)

    @override
    def row_step(self, tensor: PlannedTensor) -> int:
        return self._pieces[tensor.name].change.together(tensor.shape)

    @override
    def source_bytes(self, tensor: PlannedTensor) -> int:
        return self._pieces[tensor.name].nbytes
