"""Encodings: what the stored bits of a weight mean."""

from __future__ import annotations

from app.core.discover import discover
from app.core.errors import Unsupported
from app.encodings.as_stored import AsStored
from app.encodings.base import DTYPE_BYTES, Block, Encoding
from app.encodings.folder import FolderEncoding

ENCODINGS: dict[str, Encoding] = {name: cls() for name, cls in discover(__name__, Block).items()}
"""The encodings of GGUF files by their names. Instances hold no state."""

BLOCK_BY_ID = {enc.ggml_id: enc for enc in ENCODINGS.values() if isinstance(enc, Block)}
"""The encodings of GGUF files by their number there."""

FOLDER_ENCODINGS: dict[str, FolderEncoding] = {
    enc.name: enc
    for family in discover(__name__, FolderEncoding).values()
    for enc in family.variants()
}
"""The encodings of safetensors folders by their names, in every variant."""


def find_encoding(name: str) -> Encoding:
    """The encoding that a plan names.

    Raises:
        Unsupported: There is none of that name.
    """
    found = ENCODINGS.get(name) or FOLDER_ENCODINGS.get(name)
    if found is None and name in DTYPE_BYTES:
        return AsStored(name)
    if found is None:
        raise Unsupported(
            f'There is no way of storing weights that is called "{name}".',
            "The plan may come from a newer version of Nibble; update it, or choose again.",
        )
    return found
