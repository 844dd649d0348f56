"""EXAONE 4: norms behind both halves of a layer and over the heads of queries and keys."""

from __future__ import annotations

from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config
from app.models.architectures.decoder import BEHIND_NORMS, Decoder
from app.models.architectures.hyperparameters import count
from app.models.architectures.window import windowed_layers

_LAYERS_WITH_WINDOWS = 64  # llama.cpp knows the model with windows by its depth


class Exaone4(Decoder):
    """EXAONE 4."""

    title = "EXAONE 4"
    gguf = "exaone4"
    model_types = ("exaone4",)
    classes = ("Exaone4ForCausalLM",)
    head_norms = True
    layer_norms = BEHIND_NORMS
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 32,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
    }

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = super().metadata(config)
        layers = entries["block_count"]
        if config.get("sliding_window") is None:
            return entries
        windowed = windowed_layers(config, layers, config.get("sliding_window_pattern") or 4)
        if any(windowed) and layers != _LAYERS_WITH_WINDOWS:
            raise Unsupported(
                f"llama.cpp knows EXAONE 4 with windows in {_LAYERS_WITH_WINDOWS} layers only, "
                f"this model has {layers}.",
                "It cannot be stored as a GGUF file. Choose another model.",
            )
        return {
            **entries,
            "attention.sliding_window": count(config, "sliding_window"),
            "attention.sliding_window_pattern": windowed,
        }
