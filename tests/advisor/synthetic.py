"""GGUF files of real dimensions that take no space: every weight is a hole in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import llama_cpp_memory
import numpy as np
from families import MORE

from app.models.cache import notes_of_config

_EVERY = {
    "attention.layer_norm_rms_epsilon": 1e-5,
    "attention.layer_norm_epsilon": 1e-5,
    "rope.freq_base": 10000.0,
}
_BLOCKS = {gguf.GGMLQuantizationType.Q8_0: (32, 34), gguf.GGMLQuantizationType.F16: (1, 2)}


def write(folder: Path, name: str, config: dict[str, Any]) -> Path:
    """A whole model of the dimensions that `config` gives, with weights as Q8_0."""
    notes = _notes(config)
    bare = folder / f"{name}.notes.gguf"
    _write_notes(bare, notes)
    path = folder / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, notes["general.architecture"])
    _add(writer, notes)
    total = 0
    for tensor, shape in llama_cpp_memory.tensors(bare):
        total += -(-_describe(writer, tensor, shape) // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    _append_hole(path, total)
    return path


def _append_hole(path: Path, nbytes: int) -> None:
    with path.open("r+b") as file:
        end = file.seek(0, 2)
        file.truncate(-(-end // 32) * 32 + nbytes)


def _notes(config: dict[str, Any]) -> dict[str, Any]:
    notes = notes_of_config(config)
    prefix = notes["general.architecture"]
    more = {f"{prefix}.{key}": value for key, value in {**_EVERY, **MORE.get(prefix, {})}.items()}
    return {"tokenizer.ggml.model": "no_vocab", f"{prefix}.context_length": 4096, **more, **notes}


_LARGE = ("ffn_{}", "ffn_{}_exps", "ffn_{}_shexp")
_LARGE_NAMES = [
    "token_embd",
    "output",
    "per_layer_token_embd",
    *(f"blk.{{i}}.attn_{part}" for part in ("q", "k", "v", "output")),
    *(f"blk.{{i}}.{name.format(part)}" for name in _LARGE for part in ("up", "gate", "down")),
]


def _write_notes(path: Path, notes: dict[str, Any]) -> None:
    """Metadata, and the type of the largest tensors that there may be.

    llama.cpp asks for address space for all of them, and F32 would be more than there is.
    """
    architecture = notes["general.architecture"]
    writer = gguf.GGUFWriter(path, architecture)
    _add(writer, notes)
    for layer in range(notes[f"{architecture}.block_count"]):
        for name in _LARGE_NAMES:
            if "{i}" in name or not layer:
                kind = gguf.GGMLQuantizationType.Q8_0
                tensor = f"{name.format(i=layer)}.weight"
                writer.add_tensor_info(tensor, [34], np.dtype(np.uint8), 34, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    _append_hole(path, 1 << 20)


def _add(writer: gguf.GGUFWriter, notes: dict[str, Any]) -> None:
    for key, value in notes.items():
        match value:
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case float():
                writer.add_float32(key, value)
            case list() | tuple():
                writer.add_array(key, list(value))
            case str() if key != "general.architecture":
                writer.add_string(key, value)


def _describe(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...]) -> int:
    """Enter a tensor in the header; returns its bytes."""
    dimensions = list(shape)
    while len(dimensions) > 1 and dimensions[-1] == 1:
        dimensions.pop()
    weights = int(np.prod(dimensions))
    kept = ("norm", "conv", "ssm_a", "ssm_d")  # llama.cpp has no other code for these than F32
    part = name.rsplit(".", 2)[-2]
    if len(dimensions) == 1 or not name.endswith(".weight") or any(x in part for x in kept):
        writer.add_tensor_info(name, dimensions[::-1], np.dtype(np.float32), 4 * weights)
        return 4 * weights
    kind = gguf.GGMLQuantizationType.Q8_0
    if dimensions[0] % 32:
        kind = gguf.GGMLQuantizationType.F16
    block, block_bytes = _BLOCKS[kind]
    nbytes = weights // block * block_bytes
    if kind is gguf.GGMLQuantizationType.F16:
        writer.add_tensor_info(name, dimensions[::-1], np.dtype(np.float16), nbytes)
    else:
        stored = [*dimensions[1:][::-1], dimensions[0] // block * block_bytes]
        writer.add_tensor_info(name, stored, np.dtype(np.uint8), nbytes, raw_dtype=kind)
    return nbytes
