"""A GGUF file, or the parts of a split one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile, Unsupported
from app.core.tensor import TensorInfo
from app.encodings import BLOCK_BY_ID
from app.encodings.base import DTYPE_BYTES
from app.models.base import Checkpoint
from app.models.gguf_header import GgufHeader, read_gguf_header
from app.models.source_file import SourceFile
from app.models.stored_rows import plain_rows, stored_rows

if TYPE_CHECKING:
    from torch import Tensor

PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)
"""The name of one part of a split file."""
_AGAIN = "Download all parts into one folder again."


class GgufFile(Checkpoint):
    """A model in one GGUF file; any part of a split file opens all of them."""

    kind: ClassVar[str] = "gguf"
    header: GgufHeader
    """Of the file; of the first part where there are several."""

    def __init__(self, path: Path, parts: Sequence[Path] = ()) -> None:
        """Read the header of every part.

        Args:
            path: The file, or any part.
            parts: Where its parts are in truth, while they do not have their names yet.

        Raises:
            BadModelFile: The file is damaged, or a part is missing.
            Unsupported: It is of a version that is not supported.
        """
        parts = parts or _parts(path)
        self.path = parts[0]
        self.files = parts
        self.config: Mapping[str, Any] = {}
        self.tensors: dict[str, TensorInfo] = {}
        self._places: dict[str, tuple[SourceFile, int, int]] = {}
        for number, part in enumerate(parts):
            header = self._add(part)
            if number == 0:
                self.header = header
            _check_part(part, header, number, len(parts))
        wanted = self.header.get("split.tensors.count")
        if len(parts) > 1 and wanted is not None and wanted != len(self.tensors):
            raise BadModelFile(
                f"The parts of {self.path.name} hold {len(self.tensors)} of {wanted} tensors.",
                _AGAIN,
            )
        if not self.tensors:
            raise BadModelFile(
                f"{self.path.name} holds no weights.", "Choose the file of a whole model."
            )

    def look(self, path: Path) -> SourceFile:
        """A file of weights as it is now; one that is somewhere else says so."""
        return SourceFile.look(path)

    def _add(self, part: Path) -> GgufHeader:
        source = self.look(part)
        header = read_gguf_header(source)
        for name, tensor in header.tensors.items():
            if name in self.tensors:
                raise BadModelFile(f"Two parts of {part.name} hold {name}.", _AGAIN)
            self.tensors[name] = tensor.info
            self._places[name] = source, tensor.offset, tensor.ggml_id
        return header

    def stored(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows as `rows` counts them, in the bytes that the file has: (rows, bytes of a row)."""
        source, offset, _ = self._places[name]
        return stored_rows(source, offset, self.tensors[name], start, stop)

    @override
    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        source, offset, ggml_id = self._places[name]
        info = self.tensors[name]
        if info.dtype in DTYPE_BYTES:
            return plain_rows(source, offset, info, start, stop)
        encoding = BLOCK_BY_ID.get(ggml_id)
        if encoding is None:
            raise Unsupported(
                f"{name} is stored as {info.dtype}, which this application cannot read.",
                "Start from the original model in safetensors, or from a file in another encoding.",
            )
        blocks = self.stored(name, start, stop)
        return encoding.decode({"blocks": blocks}, (len(blocks), info.shape[-1]))


def _parts(path: Path) -> list[Path]:
    match = PART.fullmatch(path.name)
    if match is None:
        return [path]
    stem, count, suffix = match[1], int(match[3]), match[4]
    found = [path.with_name(f"{stem}-{n:05}-of-{count:05}{suffix}") for n in range(1, count + 1)]
    missing = next((part for part in found if not part.exists()), None)
    if not found or path not in found or missing is not None:
        name = path.name if missing is None else missing.name
        raise BadModelFile(f"{name}, one of {count} parts of the model, is missing.", _AGAIN)
    return found


def _check_part(part: Path, header: GgufHeader, number: int, count: int) -> None:
    says = header.get("split.no", 0), header.get("split.count", 1)
    if says[1] in {0, 1} and count == 1:
        return
    if says != (number, count):
        what = "another part of a model than its name says" if count > 1 else "a part of a model"
        raise BadModelFile(
            f"{part.name} is {what}.",
            "Give the parts their original names, such as m-00001-of-00003.gguf, in one folder.",
        )
