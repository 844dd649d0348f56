"""Cuts a GGUF file into parts, and joins parts to one file, without touching a number.

The bytes of every tensor are copied in pieces and read back from the disk before any file gets
its name. What was cut off goes on where it stood when it is asked for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import BadModelFile, NotEnoughSpace, Unsupported
from app.core.events import Progress
from app.core.files import free_bytes
from app.core.partial import PartialFile
from app.core.plan import PlannedFile
from app.core.words import size
from app.formats.gguf.header import Metadata, TensorEntry
from app.formats.gguf.layout import Place, lay_out
from app.models.gguf_file import PART, GgufFile
from app.models.gguf_header import GgufTensor, read_gguf_header
from app.models.source_file import SourceFile

_PIECE = 1 << 23  # bytes copied at a time
_CHECKPOINT = 1 << 28  # bytes between two moments at which what was copied is safe


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some bytes of a tensor, and where they go."""

    source: SourceFile
    start: int
    file: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Copy:
    """The same model in other files."""

    files: tuple[PlannedFile, ...]
    target: Path
    """Name of the whole; `files` say what theirs are."""
    pieces: tuple[_Piece, ...]
    fingerprint: str

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that it becomes."""
        return tuple(file.path(self.target) for file in self.files)

    def run(self) -> Generator[Progress]:
        """Write all files.

        Raises:
            Unsupported: One of them is there already.
            NotEnoughSpace: The disk is too small.
            BadModelFile: The source has changed, or the disk does not give back what was written.
        """
        self._check()
        done, total = 0, 2 * sum(piece.nbytes for piece in self.pieces)
        for number, path in enumerate(self.paths):
            for nbytes, phase in self._write(number, path):
                done += nbytes
                yield Progress(phase, done, total, path.name, done / max(1, total))
        # The first part is the one that is opened: once it is there, all are.
        for number, path in reversed(list(enumerate(self.paths))):
            with closing(self._partial(number, path)) as partial:
                partial.open()
                partial.commit()

    def _check(self) -> None:
        present = next((path for path in self.paths if path.exists()), None)
        if present:
            raise Unsupported(
                f"There is a file called {present.name} already.", "Choose another name."
            )
        started = (path.with_name(f"{path.name}.partial") for path in self.paths)
        held = sum(path.stat().st_size for path in started if path.exists())
        need, free = sum(file.nbytes for file in self.files) - held, free_bytes(self.target.parent)
        if need > free:
            raise NotEnoughSpace(
                f"{size(need)} are needed and {size(free)} are free.",
                f"Free {size(need - free)} more, or choose another place.",
            )

    def _partial(self, number: int, path: Path) -> PartialFile:
        return PartialFile(path, self.files[number].nbytes, self.fingerprint)

    def _write(self, number: int, path: Path) -> Iterator[tuple[int, str]]:
        """Copy the pieces of one file and read them back; bytes as they are done."""
        pieces = [piece for piece in self.pieces if piece.file == number]
        with closing(self._partial(number, path)) as partial:
            partial.open()
            partial.write(0, self.files[number].header)
            waiting = 0
            for piece in pieces:
                if not partial.has(piece.offset, piece.nbytes):
                    partial.write(piece.offset, _read(piece))
                    waiting += piece.nbytes
                if waiting >= _CHECKPOINT:
                    partial.checkpoint()
                    waiting = 0
                yield piece.nbytes, "copy"
            partial.checkpoint()
        with closing(self._partial(number, path)) as partial:
            partial.open()
            for piece in pieces:
                if not partial.has(piece.offset, piece.nbytes):
                    raise BadModelFile(
                        f"{path.name} was not written as it should be.",
                        "Try again. If it happens again, check the disk.",
                    )
                yield piece.nbytes, "verify"


def split(source: Path, target: Path, limit: int) -> Copy:
    """Cut the model in `source` into files of at most `limit` bytes.

    Args:
        source: A GGUF file.
        target: Name of the whole: "model.gguf" for model-00001-of-00003.gguf and so on.
        limit: Bytes; a part with a tensor that is larger alone is larger, too.

    Raises:
        BadModelFile: The file is damaged.
        Unsupported: It would be one part.
    """
    copy = _copy(GgufFile(source), target, limit)
    if len(copy.files) == 1:
        raise Unsupported(
            f"{source.name} is not larger than {size(limit)}.", "Choose a smaller size for parts."
        )
    return copy


def join(first: Path, target: Path) -> Copy:
    """Join the parts of a model to one file.

    Args:
        first: Any of the parts.
        target: The file to write.

    Raises:
        BadModelFile: A part is damaged or missing.
        Unsupported: The file is no part.
    """
    checkpoint = GgufFile(first)
    if len(checkpoint.files) == 1:
        raise Unsupported(
            f"{first.name} is a whole model already.",
            "Choose a part, with a name like model-00001-of-00003.gguf.",
        )
    return _copy(checkpoint, target, 0)


def whole_name(part: Path) -> Path:
    """The usual name of the whole that a file is a part of."""
    match = PART.fullmatch(part.name)
    return part.with_name(f"{match[1]}{match[4]}") if match else part


def _copy(checkpoint: GgufFile, target: Path, limit: int) -> Copy:
    sources = [SourceFile.look(part) for part in checkpoint.files]
    stored = [
        (source, tensor)
        for source in sources
        for tensor in read_gguf_header(source).tensors.values()
    ]
    metadata = {
        key: value
        for key, value in checkpoint.header.metadata.items()
        if not key.startswith("split.") and key != "general.alignment"
    }
    entries = [
        TensorEntry(one.info.name, one.info.shape, one.ggml_id, one.info.nbytes)
        for _, one in stored
    ]
    files, places = lay_out(Metadata.of(metadata), entries, limit)
    pieces = tuple(
        piece
        for (source, tensor), place in zip(stored, places, strict=True)
        for piece in _cut(source, tensor, place)
    )
    return Copy(files, target, pieces, _fingerprint(sources, files))


def _cut(source: SourceFile, tensor: GgufTensor, place: Place) -> Iterator[_Piece]:
    for done in range(0, tensor.info.nbytes, _PIECE):
        nbytes = min(_PIECE, tensor.info.nbytes - done)
        yield _Piece(source, tensor.offset + done, place.file, place.offset + done, nbytes)


def _read(piece: _Piece) -> bytes:
    with piece.source.open() as file:
        file.seek(piece.start)
        content = file.read(piece.nbytes)
    if len(content) != piece.nbytes:
        raise piece.source.damaged("it ends too early")
    return content


def _fingerprint(sources: Sequence[SourceFile], files: Sequence[PlannedFile]) -> str:
    """Differs where a byte of the result may."""
    found = hashlib.sha256(repr(sources).encode())
    for file in files:
        found.update(file.header)
    return found.hexdigest()
