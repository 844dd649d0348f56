"""A model on the hub as a checkpoint: config, tokenizer and headers, without the weights.

The small files are read whole. Of the large ones the header alone is read, with range
requests, and kept in a folder for each commit: a model that was looked at once is looked at
again without a network. That is enough to plan a conversion to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from typing_extensions import override

from app.core.errors import BadModelFile, Unsupported
from app.core.files import write_atomic
from app.core.hub import HubFile, HubModelDetails
from app.hub import errors
from app.hub.client import Client
from app.hub.digest import holds
from app.hub.names import headers_folder, place_in
from app.hub.selection import GGUF, select
from app.models.base import Checkpoint
from app.models.gguf_file import GgufFile
from app.models.gguf_header import read_gguf_header
from app.models.quantized import seen_plain
from app.models.safetensors_folder import SafetensorsFolder
from app.models.source_file import SourceFile

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 8
_FIRST_PIECE = 1 << 17
_LARGEST_HEADER = 100_000_008
_LARGEST_SMALL_FILE = 64_000_000


class StillOnTheHub(Unsupported):
    """Numbers are asked for that were not downloaded."""


@dataclass(frozen=True, slots=True)
class RemoteFile(SourceFile):
    """A file whose header is here, and whose weights are not."""

    @override
    def open(self) -> BinaryIO:
        return self.path.open("rb")

    @override
    def bytes_at(self, start: int, nbytes: int) -> Tensor:
        raise StillOnTheHub(
            f"The weights of {self.path.name} are still on the hub.", "Download the model first."
        )


class RemoteFolder(SafetensorsFolder):
    """A safetensors model whose weights are still on the hub: `rows` raises `Unsupported`."""

    def __init__(self, folder: Path, sizes: Mapping[Path, int]) -> None:
        self._sizes = sizes
        super().__init__(folder)

    @override
    def look(self, path: Path) -> SourceFile:
        return RemoteFile(path, self._sizes[path], 0)


class RemoteGguf(GgufFile):
    """A GGUF model whose weights are still on the hub: `rows` raises `Unsupported`."""

    def __init__(self, path: Path, sizes: Mapping[Path, int]) -> None:
        self._sizes = sizes
        super().__init__(path)

    @override
    def look(self, path: Path) -> SourceFile:
        return RemoteFile(path, self._sizes[path], 0)


def open_remote(client: Client, details: HubModelDetails, file: str = "") -> Checkpoint:
    """Open a model of the hub without downloading it.

    Args:
        client: The hub.
        details: The model's page.
        file: One of its GGUF files; by default its safetensors, or the best GGUF file.

    Raises:
        AppError: It is no model that can be read, or the hub cannot be asked.
    """
    chosen = select(details, file)
    folder = headers_folder(details.model.id, details.commit)
    source = _Source(client, details, folder)
    source.fetch(chosen.small, source.small_file)
    if chosen.kind == GGUF:
        source.fetch(chosen.weights, source.gguf_header)
        return RemoteGguf(folder / chosen.weights[0].name, chosen.sizes(folder))
    chosen = chosen.narrowed(folder)
    source.fetch(chosen.weights, source.safetensors_header)
    return seen_plain(RemoteFolder(folder, chosen.sizes(folder)))


@dataclass(frozen=True, slots=True)
class _Source:
    client: Client
    details: HubModelDetails
    folder: Path

    def fetch(self, files: Iterable[HubFile], get: Callable[[HubFile, Path], None]) -> None:
        """Get what is not here yet, several at a time."""
        missing = [
            (file, place)
            for file in files
            if not (place := place_in(self.folder, file.name)).exists()
        ]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="headers") as pool:
            list(pool.map(lambda pair: get(*pair), missing))

    def read(self, file: HubFile, limit: int, first: int = 0) -> bytes:
        repo = self.details.model.id
        url = self.client.file_url(repo, self.details.commit, file.name)
        return self.client.read(url, min(limit, file.nbytes - first), first, repo)

    def small_file(self, file: HubFile, place: Path) -> None:
        if file.nbytes > _LARGEST_SMALL_FILE:
            raise BadModelFile(f"{file.name} is larger than 64 MB.", "Choose another model.")
        write_atomic(place, self.read(file, file.nbytes) if file.nbytes else b"")
        if not holds(place, file):
            place.unlink()
            raise errors.damaged(file.name)

    def safetensors_header(self, file: HubFile, place: Path) -> None:
        body = self.read(file, _FIRST_PIECE)
        wanted = min(8 + int.from_bytes(body[:8], "little"), file.nbytes, _LARGEST_HEADER)
        if wanted > len(body):
            body += self.read(file, wanted - len(body), len(body))
        write_atomic(place, body[:wanted])

    def gguf_header(self, file: HubFile, place: Path) -> None:
        """Its length is nowhere said, so it is read in growing pieces until it makes sense."""
        body, limit, end = b"", _FIRST_PIECE, min(file.nbytes, _LARGEST_HEADER)
        while True:
            limit = min(limit * 4, end)
            body += self.read(file, limit - len(body), len(body))
            unnamed = place.with_name(place.name + ".part")
            write_atomic(unnamed, body)
            try:
                read_gguf_header(RemoteFile(unnamed, file.nbytes, 0))
            except BadModelFile:
                if len(body) < limit or limit == end:
                    raise
            else:
                unnamed.replace(place)
                return
