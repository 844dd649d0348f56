"""Models for rivals.py: with few layers, or wide ones, to time one; and with outlier channels.

Large models have a few channels that are many times larger than the others, which 8 bits a token
cannot hold together with the rest. A small model is given some: norms are larger there and the
matrices behind them smaller, so that it computes the same.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import smollm2
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from app.methods.activations import round_tokens
from app.models.skeleton import Skeleton

TIMES, CHANNELS = 32.0, 6
"""How many channels are how much larger; powers of two change no digit of a weight."""
WIDTH = 2048
"""Of the hidden state of a model that is made up."""
_BEHIND = {
    "input_layernorm": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "post_attention_layernorm": ("mlp.gate_proj", "mlp.up_proj"),
}


def outlying(source: Path) -> Path:
    """A model that computes what `source` does, with outlier channels."""
    target = smollm2.cache() / f"{source.name}-outliers"
    if not (target / "model.safetensors").exists():
        _save(target, source, _with_outliers(load_file(source / "model.safetensors")))
    return target


def shortened(source: Path, layers: int) -> Path:
    """The first layers of `source`, as a model."""
    target = smollm2.cache() / f"{source.name}-{layers}-layers"
    if not (target / "model.safetensors").exists():
        weights = load_file(source / "model.safetensors")
        numbers = {name: re.search(r"\.layers\.(\d+)\.", name) for name in weights}
        kept = {name for name, found in numbers.items() if not found or int(found[1]) < layers}
        _save(target, source, {name: weights[name] for name in kept}, num_hidden_layers=layers)
    return target


def made_up(source: Path, layers: int) -> Path:
    """Random layers of `WIDTH`, which compute nothing of use; all else as in `source`."""
    target = smollm2.cache() / f"{source.name}-wide-{layers}-layers"
    if not (target / "model.safetensors").exists():
        some = torch.Generator().manual_seed(layers)
        config = json.loads((source / "config.json").read_text()) | {"num_hidden_layers": layers}
        config |= {"hidden_size": WIDTH, "intermediate_size": 3 * WIDTH, "vocab_size": 49152}
        heads = WIDTH // config["head_dim"]
        config |= {"num_attention_heads": heads, "num_key_value_heads": heads // 4}
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        model.tie_weights()
        shapes = {name: weight.shape for name, weight in model.named_parameters()}
        _save(
            target,
            source,
            {
                name: (0.02 * torch.randn(shape, generator=some)).bfloat16()
                for name, shape in shapes.items()
            },
            **config,
        )
    return target


@contextmanager
def rounding_inputs(skeleton: Skeleton) -> Iterator[None]:
    """While entered, matrices of layers are multiplied with inputs of 8 bits, a scale a token."""
    hooks = [
        module.register_forward_pre_hook(lambda _, inputs: (round_tokens(inputs[0]),))
        for name, module in skeleton.model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in name
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _with_outliers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for name in [name for name in weights if name.endswith("layernorm.weight")]:
        layer, norm, _ = name.rsplit(".", 2)
        some = torch.Generator().manual_seed(sum(name.encode()))
        used = weights[name].nonzero()[:, 0]
        channels = used[torch.randperm(len(used), generator=some)[:CHANNELS]]
        weights[name][channels] *= TIMES
        for matrix in _BEHIND[norm]:
            weights[f"{layer}.{matrix}.weight"][:, channels] /= TIMES
    return weights


def _save(target: Path, source: Path, weights: dict[str, Tensor], **fields: object) -> None:
    made = Path(tempfile.mkdtemp(dir=smollm2.cache()))
    for path in source.glob("*.json"):
        shutil.copy(path, made)
    config = json.loads((source / "config.json").read_text()) | fields
    (made / "config.json").write_text(json.dumps(config))
    save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
    shutil.rmtree(target, ignore_errors=True)
    made.replace(target)
