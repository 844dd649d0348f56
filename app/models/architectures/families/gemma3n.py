"""Gemma 3n, the text part: small embeddings for each layer, and four streams through them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.models.architectures.base import Config, Dimensions, Source, Weight
from app.models.architectures.changes import AS_IS, Stacked
from app.models.architectures.families.gemma3 import Gemma3
from app.models.architectures.hyperparameters import count
from app.models.architectures.window import windowed_layers
from app.models.config import items, number

#: Fixed in llama.cpp.
_STREAMS = 4
_SPARSE_LAYERS, _SPARSITY = 10, 0.95
_LAYERS_WITH_KEYS = 20


class Gemma3n(Gemma3):
    """Gemma 3n. Its norms multiply with the weight itself."""

    title = "Gemma 3n"
    gguf = "gemma3n"
    model_types = ("gemma3n_text",)
    classes = ("Gemma3nForCausalLM",)
    norm_change = AS_IS
    defaults: ClassVar[Config] = {
        "num_key_value_heads": 2,
        "head_dim": 256,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
    }

    unsaid: ClassVar[Config] = {
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "vocab_size": 262400,
        "max_position_embeddings": 32768,
        "sliding_window": 512,
        "hidden_size_per_layer_input": 256,
        "num_kv_shared_layers": 15,
    }

    @override
    def dimensions(self, config: Config) -> Dimensions:
        inner = config.get("intermediate_size")
        if isinstance(inner, list):
            if len(set(map(str, inner))) != 1:
                raise Unsupported(
                    "This Gemma 3n model has layers of different widths, which llama.cpp does not "
                    "have.",
                    "It cannot be stored as a GGUF file. Choose another model.",
                )
            inner = inner[0]
        return super().dimensions({**config, "intermediate_size": inner})

    @override
    def around(self, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().around(size, config)
        yield from layer_embeddings(size, config)
        shape = (size.hidden, size.hidden)
        for gguf, hf in (
            ("altup_proj", "altup_projections"),
            ("altup_unembd_proj", "altup_unembed_projections"),
        ):
            sources = tuple(Source(f"model.{hf}.{i}.weight", shape) for i in range(_STREAMS - 1))
            yield Weight(f"{gguf}.weight", sources, Stacked())

    @override
    def norms(self, layer: int, size: Dimensions) -> Iterator[Weight]:
        yield from super().norms(layer, size)
        hf, gguf, hidden = f"model.layers.{layer}.", f"blk.{layer}.", size.hidden
        yield from self.norm(gguf + "post_norm", hf + "post_per_layer_input_norm", hidden)
        yield from self.norm(gguf + "altup_router_norm", hf + "altup.router_norm", hidden)
        yield from self.norm(gguf + "laurel_post_norm", hf + "laurel.post_laurel_norm", hidden)

    @override
    def attention(self, layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
        yield from super().attention(layer, size, config)
        yield from layer_inputs(layer, size, config)
        hidden, rank = size.hidden, count(config, "laurel_rank", 64)
        for gguf, hf, shape in (
            ("altup_correct_coef.weight", "altup.correction_coefs.weight", (_STREAMS, _STREAMS)),
            ("altup_correct_scale.weight", "altup.correct_output_scale", (hidden,)),
            ("altup_predict_coef.weight", "altup.prediction_coefs.weight", (_STREAMS**2, _STREAMS)),
            ("altup_router.weight", "altup.modality_router.weight", (_STREAMS, hidden)),
            ("laurel_l.weight", "laurel.linear_left.weight", (rank, hidden)),
            ("laurel_r.weight", "laurel.linear_right.weight", (hidden, rank)),
        ):
            yield Weight.of(f"blk.{layer}.{gguf}", f"model.layers.{layer}.{hf}", *shape)

    @override
    def metadata(self, config: Config) -> dict[str, Any]:
        entries = {**super().metadata(config), **layer_metadata(config)}
        layers = entries["block_count"]
        shares = _sparsity(config, layers)
        return {
            **entries,
            "altup.active_idx": count(config, "altup_active_idx", 0, least=0),
            "altup.num_inputs": _STREAMS,
            "activation_sparsity_scale": tuple(_deviations(share) for share in shares),
            "attention.sliding_window_pattern": windowed_layers(config, layers, 5),
        }

    @override
    def check(self, config: Config, size: Dimensions) -> None:
        layers = size.layers
        wanted = {
            "altup_num_inputs": count(config, "altup_num_inputs", _STREAMS) == _STREAMS,
            "activation_sparsity_pattern": _sparsity(config, layers) == _usual_sparsity(layers),
            "num_kv_shared_layers": count(config, "num_kv_shared_layers", 15, least=0)
            == max(0, layers - _LAYERS_WITH_KEYS),
        }
        odd = [key for key, is_usual in wanted.items() if not is_usual]
        if odd:
            raise Unsupported(
                "This Gemma 3n model is built in another way than llama.cpp assumes.",
                "It cannot be stored as a GGUF file. Choose another model.",
                f"{odd[0]}: {config.get(odd[0])}",
            )


def layer_embeddings(size: Dimensions, config: Config) -> Iterator[Weight]:
    """The embeddings that every layer has of its own."""
    width, hidden = count(config, "hidden_size_per_layer_input", 256), size.hidden
    vocabulary = count(config, "vocab_size_per_layer_input", size.vocabulary)
    all_layers = size.layers * width
    name = "model.embed_tokens_per_layer.weight"
    yield Weight.of("per_layer_token_embd.weight", name, vocabulary, all_layers)
    name = "model.per_layer_model_projection.weight"
    yield Weight.of("per_layer_model_proj.weight", name, all_layers, hidden)
    name = "model.per_layer_projection_norm.weight"
    yield Weight.of("per_layer_proj_norm.weight", name, width)


def layer_inputs(layer: int, size: Dimensions, config: Config) -> Iterator[Weight]:
    """How a layer takes its own embeddings in."""
    hf, gguf = f"model.layers.{layer}.", f"blk.{layer}."
    width, hidden = count(config, "hidden_size_per_layer_input", 256), size.hidden
    yield Weight.of(gguf + "inp_gate.weight", hf + "per_layer_input_gate.weight", width, hidden)
    yield Weight.of(gguf + "proj.weight", hf + "per_layer_projection.weight", hidden, width)


def layer_metadata(config: Config) -> dict[str, Any]:
    """Embeddings of layers, and how many layers at the end use keys of earlier ones."""
    return {
        "embedding_length_per_layer_input": count(
            config, "hidden_size_per_layer_input", 256, least=0
        ),
        "attention.shared_kv_layers": count(config, "num_kv_shared_layers", 0, least=0),
    }


def _usual_sparsity(layers: int) -> list[float]:
    return [_SPARSITY if layer < _SPARSE_LAYERS else 0.0 for layer in range(layers)]


def _sparsity(config: Config, layers: int) -> list[float]:
    """Share of a layer's activations that is cut off, for each layer."""
    given = items(config, "activation_sparsity_pattern", _usual_sparsity(layers))
    return [number({"share": share}, "share") for share in given]


def _deviations(share: float) -> float:
    """How many standard deviations from the mean cut off a share of a normal distribution."""
    return NormalDist().inv_cdf(share) if 0 < share < 1 else float("-inf")
