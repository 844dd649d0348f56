"""Let HQQ's library load the layers of folders, read some tokens, and go on with them.

Its class for whole models wants a pickled file, and transformers has left it out since version 5;
so the layers that a folder has are put into transformers' model one by one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from asked import answer_each, report
from hqq.core.quantize import HQQLinear
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    config = AutoConfig.from_pretrained(folder)
    del config.quantization_config
    dtype = getattr(torch, request["dtype"])
    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    stored = load_file(Path(folder) / "model.safetensors")
    layers = [name.removesuffix(".W_q") for name in stored if name.endswith(".W_q")]
    for name in layers:
        start = f"{name}."
        parts = {key.removeprefix(start): stored.pop(key) for key in [*stored] if start in key}
        layer = HQQLinear(None, None, compute_dtype=dtype, device="cpu")
        layer.load_state_dict(parts)
        layer.meta = {
            key: value.to(dtype) if key in {"scale", "zero"} else value
            for key, value in layer.meta.items()
        } | {"compute_dtype": dtype}
        model.set_submodule(name, layer)
    missing, unexpected = model.load_state_dict(stored, strict=False)
    assert not unexpected, unexpected
    assert all(key == "lm_head.weight" or key.rpartition(".")[0] in layers for key in missing)
    model.tie_weights()
    return report(model.eval(), request, folder)


answer_each(run)
