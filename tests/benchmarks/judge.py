"""SmolLM2-135M made a fair judge of formats. What can be had without the hub is unfair twice:

* Its weights were published in Q4_1. Formats that meet the same 16 values in each block of 32 would
  look far better than they are. So each weight is moved to a random place within its step, where
  the one that it was rounded from may have been.
* Its rows of 576 weights do not divide by 256, so most tensors could not have the type that their
  format gives them. So 64 zeros follow each 192 columns of the hidden state, and one idle head each
  three; norms make up for it. The wider model computes the same.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from pathlib import Path
from typing import Any

import smollm2
import torch
from safetensors.torch import load_file, save_file

REAL, WIDE = 192, 256
ROUNDED_BLOCK, STEPS = 32, 15
"""Of Q4_1: weights that share a lowest value and a step, and steps up to the highest value."""


def folder() -> Path:
    """The judge as Hugging Face keeps a model; made once a machine."""
    target = smollm2.cache() / "SmolLM2-135M-judge"
    if (target / "model.safetensors").exists():
        return target
    source = smollm2.folder()
    made = Path(tempfile.mkdtemp(dir=smollm2.cache()))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, made)
    config = json.loads((source / "config.json").read_text())
    (made / "config.json").write_text(json.dumps(widened_config(config)))
    weights = load_file(source / "model.safetensors")
    save_file(
        {name: widened(name, unrounded(name, weight)) for name, weight in weights.items()},
        made / "model.safetensors",
        metadata={"format": "pt"},
    )
    shutil.rmtree(target, ignore_errors=True)
    made.replace(target)
    return target


def unrounded(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Every weight of a matrix at a random place within its step of Q4_1."""
    if weight.ndim < 2 or "embed_tokens" in name:  # which was published in Q8_0
        return weight
    some = torch.Generator().manual_seed(sum(name.encode()))
    blocks = weight.float().view(-1, ROUNDED_BLOCK)
    step = (blocks.amax(1, keepdim=True) - blocks.amin(1, keepdim=True)) / STEPS
    moved = blocks + step * (torch.rand(blocks.shape, generator=some) - 0.5)
    return moved.view(weight.shape).to(weight.dtype)


def widened(name: str, weight: torch.Tensor) -> torch.Tensor:
    """With zeros where the wider hidden state and the idle heads are."""
    kind = name.split(".")[-2]
    if weight.ndim == 1:
        return _spread(weight.float() * math.sqrt(REAL / WIDE), 0)
    if kind != "down_proj":
        weight = _spread(weight, 1)
    return _spread(weight, 0) if kind in {"q_proj", "o_proj", "down_proj"} else weight


def widened_config(config: dict[str, Any]) -> dict[str, Any]:
    """The config of the wider model."""
    return {
        **config,
        "hidden_size": config["hidden_size"] * WIDE // REAL,
        "num_attention_heads": config["num_attention_heads"] * WIDE // REAL,
        "head_dim": config["hidden_size"] // config["num_attention_heads"],
        "rms_norm_eps": config["rms_norm_eps"] * REAL / WIDE,
    }


def _spread(weight: torch.Tensor, axis: int) -> torch.Tensor:
    parts = weight.split(REAL, dim=axis)
    shape = list(weight.shape)
    shape[axis] = WIDE - REAL
    zeros = weight.new_zeros(shape)
    return torch.cat([piece for part in parts for piece in (part, zeros)], dim=axis)
