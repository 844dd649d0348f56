"""From a Hugging Face folder to the file with which llama.cpp sees: encoder and projector.

Such a file (general.architecture "clip", general.type "mmproj") goes with the language model's own
GGUF file; programs ask for both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.formats.gguf.companion import Companion, Piece
from app.formats.gguf.header import typed
from app.models.architectures.base import Source, Weight, check_shape, refuse_unknown, text_part
from app.models.architectures.vision import find_vision
from app.models.architectures.vision.base import PREPROCESSORS, Vision, read_preprocessor
from app.models.architectures.vision.changes import OneRow
from app.models.architectures.vision.families.pixtral import PixtralVision
from app.models.base import Checkpoint
from app.models.facts import model_facts
from app.models.gguf_header import GgufValue, ValueType
from app.models.named_weights import StoredTensor
from app.models.quantized import plain
from app.models.vocabulary import read_vocabulary

_EXACT = ("v.patch_embd.", "v.position_embd.", "v.class_embd", "v.token_embd.")
"""Starts of tensors that are small and met first: they stay in F32."""
_PLAIN = ("mm.patch_merger.", "mm.input_projection.")
"""Starts of matrices that llama.cpp reads as F32 and F16 only."""


def vision_conversion(checkpoint: Checkpoint) -> Companion:
    """The file with which the model in `checkpoint` sees.

    Raises:
        BadModelFile: Config and tensors are damaged or contradict each other.
        Unsupported: The model does not see, or in a way that is not known.
    """
    if checkpoint.kind != "safetensors":
        raise Unsupported(
            "A GGUF file holds no part that sees.",
            "Start from the original folder with .safetensors files instead.",
        )
    checkpoint = plain(checkpoint)
    vision = find_vision(checkpoint.config)
    stored = vision.stored_names(checkpoint.tensors)
    weights = list(_found(vision, checkpoint, stored))
    used = {source.name for weight in weights for source in weight.sources}
    unknown = (stored[name] for name in stored if name not in used)
    refuse_unknown(vision.title, unknown)
    pieces = [_piece(weight, checkpoint, stored) for weight in weights]
    if isinstance(vision, PixtralVision):
        pieces.append(_row_end(vision, checkpoint))
    preprocessor = read_preprocessor(checkpoint.path)
    notes = list(checkpoint.notes)
    if not preprocessor:
        notes.append(
            f"There is no {PREPROCESSORS[0]}: colours are prepared as is usual for {vision.title}."
        )
    return Companion(pieces, _metadata(vision, checkpoint, preprocessor), notes)


def _found(vision: Vision, checkpoint: Checkpoint, stored: dict[str, str]) -> Iterator[Weight]:
    """The weights with the shapes that the checkpoint has."""
    for weight in vision.weights(checkpoint.config, stored.keys()):
        (source,) = weight.sources
        if weight.optional and source.name not in stored:
            continue
        name = stored.get(source.name, source.name)
        info = checkpoint.tensors.get(name)
        check_shape(info, name, source.shape)
        assert info is not None
        yield replace(weight, sources=(Source(source.name, info.shape),))


def _piece(weight: Weight, checkpoint: Checkpoint, stored: dict[str, str]) -> Piece:
    (source,) = weight.sources
    name = stored[source.name]
    return Piece(
        weight.gguf,
        (StoredTensor(checkpoint, name),),
        checkpoint.tensors[name].nbytes,
        weight.change,
        kept="F32" if len(weight.shape) == 1 or weight.gguf.startswith(_EXACT) else "",
        fixed=weight.gguf.startswith(_PLAIN),
    )


def _row_end(vision: PixtralVision, checkpoint: Checkpoint) -> Piece:
    """The embedding of the token that stands behind every row of patches.

    Raises:
        BadModelFile: There is no such token, or no embedding.
    """
    names = [name for name in checkpoint.tensors if name.endswith("embed_tokens.weight")]
    config = text_part(checkpoint.config)
    if len(names) != 1:
        raise BadModelFile("The model has no embedding of tokens.", "Download it again.")
    info = checkpoint.tensors[names[0]]
    tokens = read_vocabulary(checkpoint.path, config, info.shape[0]).tokens
    if vision.row_end not in tokens:
        raise BadModelFile(
            f"The tokenizer does not know {vision.row_end}.", "Download the model again."
        )
    row = tokens.index(vision.row_end)
    return Piece(
        "v.token_embd.img_break",
        (StoredTensor(checkpoint, names[0]),),
        info.nbytes // info.shape[0],
        OneRow(row),
        kept="F32",
    )


def _metadata(
    vision: Vision, checkpoint: Checkpoint, preprocessor: dict[str, Any]
) -> dict[str, GgufValue]:
    entries = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.name": model_facts(checkpoint).name,
    }
    described = vision.metadata(checkpoint.config, preprocessor)
    found = {key: typed(value) for key, value in entries.items()}
    for key, value in described.items():
        found[f"clip.{key}"] = _flags(value) or typed(value)
    return found


def _flags(value: object) -> GgufValue | None:
    """A list of true and false; None where `value` is something else."""
    if isinstance(value, tuple) and value and isinstance(value[0], bool):
        return GgufValue(ValueType.ARRAY, value, ValueType.BOOL)
    return None
