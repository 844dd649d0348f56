"""What a GGUF file says about its model besides the tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.core.plan import ImportanceFacts
from app.core.words import count
from app.formats.gguf.header import Metadata, typed
from app.models.base import Checkpoint
from app.models.description import Description
from app.models.facts import model_facts
from app.models.gguf_header import GgufValue
from app.models.vocabulary import Vocabulary

FILE_TYPE = "general.file_type"
QUANTIZATION_VERSION = "general.quantization_version"
_VERSION_OF_ENCODINGS = 2  # ggml's GGML_QNT_VERSION

_KINDS = {"bpe": "gpt2", "spm": "llama", "gemma4": "gemma4"}
#: llama.cpp's words for the roles of tokens, one of them misspelled ever since.
_ROLES = {"unk": "unknown", "pad": "padding", "sep": "seperator"}
_README = 65536  # bytes of the model card that are looked at


def model_metadata(
    checkpoint: Checkpoint, description: Description, vocabulary: Vocabulary
) -> dict[str, GgufValue]:
    """Everything but what depends on the recipe.

    Raises:
        BadModelFile: The config is damaged.
        Unsupported: llama.cpp cannot run a model like this.
    """
    architecture = description.architecture
    names = {source.name for weight in description.weights for source in weight.sources}
    weights = sum(checkpoint.tensors[description.stored[name]].weights for name in names)
    described = architecture.metadata(description.config)
    entries: dict[str, Any] = {
        "general.architecture": architecture.gguf,
        "general.type": "model",
        "general.name": model_facts(checkpoint).name,
        "general.size_label": count(weights).replace(" ", ""),
        "general.license": _licence(checkpoint.path),
        **{f"{architecture.gguf}.{key}": value for key, value in described.items()},
        **tokenizer_metadata(vocabulary),
    }
    return {key: typed(value) for key, value in entries.items() if value not in {(), ""}}


def recipe_metadata(file_type: int, importance: ImportanceFacts | None) -> Metadata:
    """What the recipe adds."""
    entries: dict[str, Any] = {FILE_TYPE: file_type, QUANTIZATION_VERSION: _VERSION_OF_ENCODINGS}
    if importance:
        entries |= {
            "quantize.imatrix.file": importance.file,
            "quantize.imatrix.dataset": importance.dataset,
            "quantize.imatrix.entries_count": importance.entries,
            "quantize.imatrix.chunks_count": importance.chunks,
        }
    return Metadata.of({key: typed(value) for key, value in entries.items() if value != ""})


def _licence(folder: Path) -> str:
    """The licence that the model card names in its front matter; "" where it does not."""
    try:
        with (folder / "README.md").open("rb") as file:
            lines = file.read(_README).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    if not lines or lines[0].strip() != "---":
        return ""
    for line in lines[1:]:
        key, _, value = line.partition(":")
        if line.strip() == "---":
            break
        if key == "license" and value.strip().isprintable():
            return value.strip().strip("'\"")[:100]
    return ""


def tokenizer_metadata(vocabulary: Vocabulary) -> dict[str, Any]:
    """What a file says about the tokenizer; empty values stand for nothing."""
    special = vocabulary.special
    entries = {
        "ggml.model": _KINDS[vocabulary.kind],
        "ggml.pre": vocabulary.pre,
        "ggml.tokens": vocabulary.tokens,
        "ggml.scores": vocabulary.scores,
        "ggml.token_type": tuple(map(int, vocabulary.types)),
        "ggml.merges": vocabulary.merges,
        **{f"ggml.{_ROLES.get(role, role)}_token_id": id_ for role, id_ in special.ids.items()},
        "ggml.add_bos_token": special.add_bos,
        "ggml.add_eos_token": special.add_eos,
        "ggml.add_space_prefix": vocabulary.space_prefix,
        "ggml.suppress_tokens": special.suppressed,
        **_templates(vocabulary.chat_templates),
    }
    return {f"tokenizer.{key}": value for key, value in entries.items()}


def _templates(templates: Mapping[str, str]) -> dict[str, Any]:
    """The chat templates; those with a name besides "default" are also listed."""
    named = {re.sub(r"[^A-Za-z0-9]", "_", name): text for name, text in templates.items()}
    default = named.pop("default", "")
    return {
        "chat_template": default,
        "chat_templates": tuple(named),
        **{f"chat_template.{name}": text for name, text in named.items()},
    }


def kept_metadata(metadata: Mapping[str, GgufValue]) -> dict[str, GgufValue]:
    """Metadata of a GGUF file as it may stand in a file of its own.

    Entries that describe the old file's layout or recipe are left out.
    """
    dropped = ("split.", "general.alignment", FILE_TYPE, QUANTIZATION_VERSION, "quantize.")
    return {key: value for key, value in metadata.items() if not key.startswith(dropped)}
