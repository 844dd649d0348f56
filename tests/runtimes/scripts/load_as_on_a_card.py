"""Load folders with transformers as if there were a card that computes in FP8.

Nothing but the question for the card is left out, so that the layers are those that a card gets.
What they hold is multiplied by its scales here, put into a plain model, and that reads some tokens
and goes on with them.
"""

from __future__ import annotations

from typing import Any

import torch
from asked import answer_each, report
from run_transformers import load
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations import fbgemm_fp8
from transformers.quantizers.quantizer_fbgemm_fp8 import FbgemmFp8HfQuantizer
from transformers.quantizers.quantizer_finegrained_fp8 import FineGrainedFP8HfQuantizer

SCALES = ("_scale_inv", "_scale")


def nothing(*_: Any, **__: Any) -> None:
    """In place of a question for a card, or for a kernel that only a card has."""


def unpacked(name: str, stored: dict[str, Tensor]) -> Tensor:
    """A weight times the scales of its rows or blocks, where it has any."""
    weight = stored[name].float()
    found = [stored[name + end].float() for end in SCALES if name + end in stored]
    if not found:
        return weight
    (scale,) = found
    for axis in (-2, -1):
        scale = scale.repeat_interleave(weight.shape[axis] // scale.shape[axis], axis)
    return weight * scale


def run(request: dict[str, Any], folder: str) -> dict[str, Any]:
    dtype = getattr(torch, request["dtype"])
    model = load(folder, dtype)
    stored = model.state_dict()
    config = AutoConfig.from_pretrained(folder)
    del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    weights = [name for name in stored if not name.endswith(SCALES)]
    plain.load_state_dict({name: unpacked(name, stored) for name in weights})
    modules = sorted({type(module).__name__ for module in model.modules()})
    return report(plain, request, folder) | {"modules": modules}


FbgemmFp8HfQuantizer.validate_environment = nothing
FineGrainedFP8HfQuantizer.validate_environment = nothing
fbgemm_fp8.get_quantize_fp8_per_row = nothing
answer_each(run)
