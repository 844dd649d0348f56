"""Read a SentencePiece model (tokenizer.model).

The file is one protocol-buffers message. Of it we need the pieces and a few settings, so
it is read here, with limits, instead of by a native library. Field numbers are those of
sentencepiece_model.proto, https://github.com/google/sentencepiece.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.models.source_file import SourceFile

_MAX_BYTES = 64_000_000
_MAX_PIECES = 2_000_000
_UNIGRAM, _BPE = 1, 2
#: Fields of the training settings with the number of a token, and its default; -1 for none.
_ROLES = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2), "pad": (43, -1)}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary."""

    text: str
    score: float
    type: int
    """Number of a `TokenType`."""


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """The parts of a model that describe its vocabulary."""

    pieces: tuple[Piece, ...]
    is_bpe: bool
    """Whether pieces are merged by score; otherwise the likeliest cut is searched."""
    space_prefix: bool
    """Whether a space is put in front of a text."""
    tidies: bool
    """Whether text is changed before it is cut: characters unified, runs of spaces shortened."""
    roles: Mapping[str, int]
    """Tokens with a role: "unk", "bos", "eos", "pad"."""


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Read `path`.

    Raises:
        BadModelFile: It is damaged or no SentencePiece model.
    """
    source = SourceFile.look(path)
    if source.size > _MAX_BYTES:
        raise source.damaged("it is larger than 64 MB")
    with source.open() as file:
        data = file.read(_MAX_BYTES)
    source.check_start(data[:32])
    try:
        model = _model(data)
    except (ValueError, IndexError, struct.error) as error:
        raise source.damaged("it is not a SentencePiece model") from error
    if not model.pieces:
        raise source.damaged("it lists no tokens")
    return model


def _model(data: bytes) -> SentencePieceModel:
    pieces: list[Piece] = []
    training: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(data):
        if number == 1:
            pieces.append(_piece(_expect_bytes(value)))
            if len(pieces) > _MAX_PIECES:
                raise ValueError("too many pieces")
        elif number == 2:
            training = dict(_fields(_expect_bytes(value)))
        elif number == 3:
            normalizer = dict(_fields(_expect_bytes(value)))
    roles = {role: training.get(field, default) for role, (field, default) in _ROLES.items()}
    return SentencePieceModel(
        tuple(pieces),
        training.get(3, _UNIGRAM) == _BPE,
        normalizer.get(3, 1) != 0,
        bool(normalizer.get(2)) or normalizer.get(4, 1) != 0,
        # -1 is stored as the largest number of 64 bits
        {
            role: id_
            for role, id_ in roles.items()
            if isinstance(id_, int) and 0 <= id_ < len(pieces)
        },
    )


def _piece(data: bytes) -> Piece:
    fields = dict(_fields(data))
    score, kind = fields.get(2, b"\0\0\0\0"), fields.get(3, 1)
    if not isinstance(kind, int) or not 1 <= kind <= 6:
        raise ValueError("unknown type of piece")
    (number,) = struct.unpack("<f", _expect_bytes(score))
    return Piece(_expect_bytes(fields.get(1, b"")).decode(), number, kind)


def _expect_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where bytes should be")  # noqa: TRY004 - of a file, not a caller
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of every field of a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in {_FIXED64, _FIXED32}:
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if length > len(data) - at:
            raise ValueError("cut off")
        yield number, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where the next field starts."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("number too long")
