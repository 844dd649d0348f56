"""Gemma 1: norms multiply with 1 + w, and the embedding is the output layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from typing_extensions import override

from app.core.tensor import TensorInfo
from app.models.architectures.base import Config
from app.models.architectures.changes import Change, Shifted
from app.models.architectures.decoder import Decoder


class Gemma(Decoder):
    """Gemma 1. llama.cpp scales the embeddings by itself."""

    title = "Gemma"
    gguf = "gemma"
    model_types: ClassVar[tuple[str, ...]] = ("gemma",)
    classes: ClassVar[tuple[str, ...]] = ("GemmaForCausalLM",)
    activations = frozenset({"gelu_pytorch_tanh", "gelu", "gelu_new"})
    norm_change: ClassVar[Change] = Shifted()
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 16,
        "head_dim": 256,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }

    @override
    def config(
        self,
        metadata: Mapping[str, Any],
        tensors: Mapping[str, TensorInfo],
        divisors: Sequence[float] | None,
    ) -> Config:
        plain = super().config(metadata, tensors, divisors)
        return {**plain, "hidden_act": "gelu_pytorch_tanh"}
