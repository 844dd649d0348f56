"""SmolLM 3: Llama without rotary embedding in every fourth layer.

Rows of q and k are reordered in all layers, also in those that are not rotated:
their product does not depend on the order, as long as it is the same for both.
"""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config
from app.models.architectures.decoder import Decoder
from app.models.architectures.window import used_window

_INTERVAL = 4  # fixed in llama.cpp; no key of the file changes it


def _rotated(layers: int) -> list[int]:
    return [int((layer + 1) % _INTERVAL != 0) for layer in range(layers)]


class SmolLM3(Decoder):
    """SmolLM 3."""

    title = "SmolLM3"
    gguf = "smollm3"
    model_types = ("smollm3",)
    classes = ("SmolLM3ForCausalLM",)
    pairs_neighbours = True
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 2000000.0,
        "tie_word_embeddings": True,
    }

    @override
    def notes(self, config: Config) -> tuple[str, ...]:
        default = _rotated(self.dimensions(config).layers)
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

    @override
    def more_config(self, layers: int) -> dict[str, Any]:
        return {"no_rope_layers": _rotated(layers)}
