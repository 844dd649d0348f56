"""What a model is, from its config or header alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.core.errors import BadModelFile, Unsupported
from app.core.model import ModelFacts
from app.models.architectures import ARCHITECTURES, find_architecture
from app.models.base import Checkpoint
from app.models.config import section, text, whole_number
from app.models.gguf_file import PART, GgufFile
from app.models.source_file import shown

#: The same fact under the names that configs have given it over the years.
_CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length", "seq_length")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_VOCABULARY = ("vocab_size",)

_CLASS_ENDING = re.compile(r"(For[A-Z]\w+|LMHeadModel|Model)$")
_NAMELESS = re.compile(r"[0-9a-f]{7,64}|(sample_)?model|checkpoint(-\d+)?|", re.IGNORECASE)


def model_facts(checkpoint: Checkpoint) -> ModelFacts:
    """Everything worth showing before any weight is read.

    Raises:
        BadModelFile: A fact is of an impossible kind, such as a hidden size that is a text.
    """
    describe = _of_gguf if isinstance(checkpoint, GgufFile) else _of_folder
    return ModelFacts(
        path=str(checkpoint.path),
        kind=checkpoint.kind,
        weights=checkpoint.weights,
        nbytes=checkpoint.nbytes,
        dtype=checkpoint.stored_as,
        **describe(checkpoint),
    )


def _of_folder(checkpoint: Checkpoint) -> dict[str, Any]:
    config = checkpoint.config
    inner = section(config, "text_config", {}) or config
    return {
        "name": _folder_name(checkpoint),
        "architecture": _family(config),
        "context": _first(inner, _CONTEXT),
        "layers": _first(inner, _LAYERS),
        "hidden": _first(inner, _HIDDEN),
        "vocabulary": _first(inner, _VOCABULARY),
    }


def _of_gguf(checkpoint: Checkpoint) -> dict[str, Any]:
    assert isinstance(checkpoint, GgufFile)
    file = checkpoint.path.name
    notes = {key: note.value for key, note in checkpoint.header.metadata.items()}
    kind = text(notes, "general.architecture", "unknown", file=file)
    tokens = notes.get("tokenizer.ggml.tokens", ())
    part = PART.fullmatch(file)
    stem = part[1] if part else checkpoint.path.stem
    titles = {entry.gguf: entry.title for entry in reversed(ARCHITECTURES)}
    return {
        "name": shown(text(notes, "general.name", stem, file=file) or stem),
        "architecture": titles.get(kind, shown(kind)),
        "context": whole_number(notes, f"{kind}.context_length", 0, least=0, file=file),
        "layers": whole_number(notes, f"{kind}.block_count", 0, least=0, file=file),
        "hidden": whole_number(notes, f"{kind}.embedding_length", 0, least=0, file=file),
        "vocabulary": len(tokens) if isinstance(tokens, tuple) else 0,
    }


def _folder_name(checkpoint: Checkpoint) -> str:
    """The folder's name, unless that says nothing.

    A config's "_name_or_path" comes second: in a finetune it often names the base model.
    """
    folder = checkpoint.path.resolve()
    if folder.parent.name == "snapshots":  # the cache of huggingface_hub
        return shown(folder.parent.parent.name.rpartition("--")[2])
    origin = text(checkpoint.config, "_name_or_path", "").replace("\\", "/").rstrip("/")
    if _NAMELESS.fullmatch(folder.name) and origin:
        return shown(origin.rpartition("/")[2])
    return shown(folder.name)


def _family(config: Mapping[str, Any]) -> str:
    try:
        return find_architecture(config).title
    except (BadModelFile, Unsupported):
        classes = config.get("architectures")
        name = classes[0] if isinstance(classes, list) and classes else config.get("model_type")
        return shown(_CLASS_ENDING.sub("", str(name or "unknown")))


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    found = next((key for key in keys if config.get(key) is not None), keys[0])
    return whole_number(config, found, 0, least=0)
