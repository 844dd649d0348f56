"""SmolLM 3: Llama without rotary embedding in every fourth layer.

Rows of q and k are reordered in all layers, also in those that are not rotated:
their product does not depend on the order, as long as it is the same for both.
"""

from __future__ import annotations

from typing import Any

from app.core.errors import Unsupported
from app.models.architectures.base import Architecture, Config, Dimensions, Pairing
from app.models.architectures.decoder import DECODER
from app.models.architectures.window import used_window

_INTERVAL = 4  # fixed in llama.cpp; no key of the file changes it


def _rotated(layers: int) -> list[int]:
    return [int((layer + 1) % _INTERVAL != 0) for layer in range(layers)]


def _notes(config: Config) -> tuple[str, ...]:
    default = _rotated(config["num_hidden_layers"])
    given = config.get("no_rope_layers")
    if config.get("no_rope_layer_interval", _INTERVAL) != _INTERVAL and given is None:
        given = []
    if given is not None and given != default:
        raise Unsupported(
            "This SmolLM3 model rotates other layers than llama.cpp assumes.",
            "It cannot be stored as a GGUF file. Choose another model.",
            f"no_rope_layers: {given}",
        )
    return used_window(config)


def _more_config(dimensions: Dimensions) -> dict[str, Any]:
    return {"no_rope_layers": _rotated(dimensions.layers)}


SMOLLM3 = Architecture(
    title="SmolLM3",
    gguf="smollm3",
    model_type="smollm3",
    classes=("SmolLM3ForCausalLM",),
    pairing=Pairing.NEIGHBOURS,
    weights=DECODER,
    defaults={
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 2000000.0,
        "tie_word_embeddings": True,
    },
    notes=_notes,
    more_config=_more_config,
)
