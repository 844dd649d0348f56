"""PEFT folders for tests, and the models that they make of their bases, computed by hand."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def write_adapter(
    folder: Path,
    base: Path,
    pattern: str,
    *,
    rank: int = 8,
    alpha: float = 24,
    dora: bool = False,
    **config: Any,
) -> None:
    """Make an adapter for the base's weights that `pattern` matches; beside it, the tuned model.

    Args:
        folder: Gets "adapter" and "tuned".
        base: A folder of transformers.
        pattern: Of weights' names, as they are in the base's file.
        rank: Of all changes.
        alpha: What the sum is multiplied with, times the rank.
        dora: Whether rows get lengths of their own.
        config: More fields of adapter_config.json.
    """
    generator = torch.Generator().manual_seed(3)
    weights = load_file(base / "model.safetensors")
    stored: dict[str, torch.Tensor] = {}
    scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)
    matrices = [name for name, tensor in weights.items() if tensor.ndim == 2]
    for name in [name for name in matrices if re.search(pattern, name)]:
        weight = weights[name].float()
        turned = config.get("fan_in_fan_out", False)
        inputs, outputs = weight.shape if turned else weight.shape[::-1]
        a = 0.1 * torch.randn(rank, inputs, generator=generator)
        b = 0.1 * torch.randn(outputs, rank, generator=generator)
        delta = scale * b @ a
        tuned = weight + (delta.T if turned else delta)
        module = f"base_model.model.{name.removesuffix('.weight')}"
        stored |= {f"{module}.lora_A.weight": a, f"{module}.lora_B.weight": b}
        if dora:
            lengths = 0.5 + torch.rand(outputs, generator=generator)
            stored[f"{module}.lora_magnitude_vector"] = lengths
            tuned = lengths[:, None] * tuned / tuned.norm(dim=1, keepdim=True)
        weights[name] = tuned.to(weights[name].dtype)
    save(folder / "adapter", stored, lora_alpha=alpha, r=rank, use_dora=dora, **config)
    shutil.copytree(base, folder / "tuned")
    save_file(weights, folder / "tuned" / "model.safetensors", {"format": "pt"})


def save(folder: Path, tensors: dict[str, torch.Tensor], **config: Any) -> None:
    """An adapter's folder with these tensors."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "adapter_model.safetensors",
    )
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
