"""A decoder-only model without its weights, and the pieces it is computed in.

The modules are transformers' own, made on torch's meta device from the config as data: no code
and no weight of the model's repository is loaded. Weights are lent to a piece for the time of
one call, so a model of any size needs the memory of one of its layers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from app.core.errors import BadModelFile, Unsupported

if TYPE_CHECKING:
    from torch import Tensor, nn

Weights = dict[str, "Tensor"]
"""Tensor by its name within a piece of the model."""

#: Keys of config.json that old checkpoints use for a field of today's config classes.
_OLD_ROPE_KEYS = {"rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_pct"}

#: What the config classes and the modules raise for values that make no model.
_CONFIG_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class WeightSource(Protocol):
    """A model's weights by their Hugging Face names."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json."""

    @property
    def names(self) -> Collection[str]:
        """Every tensor there is."""

    def weight(self, name: str) -> Tensor:
        """One tensor in its own shape, float32, on the host."""


@dataclass(frozen=True, slots=True)
class LayerInputs:
    """What a decoder layer is given besides the hidden states; the same for every text."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class _Stop(Exception):
    """Control flow: the last layer's inputs are known; the rest of the model is not wanted."""


class Skeleton:
    """The modules of a causal language model, on the meta device.

    Args:
        config: config.json as data. Only fields that the config class of its `model_type`
            declares are used; everything else, `auto_map` and kernels included, is ignored.
        max_layers: Refuses more layers than this, before they are made.

    Raises:
        Unsupported: transformers has no such model, or it cannot be run layer by layer.
        BadModelFile: The config contradicts itself.
    """

    def __init__(self, config: Mapping[str, Any], max_layers: int = 10_000) -> None:
        self.model = _modules(config, max_layers)
        self._layers_name, self._layers = _find_layers(self.model)
        self._embedding = _name_of(self.model, self.model.get_input_embeddings())
        self._head = _name_of(self.model, self.model.get_output_embeddings())
        _fill_buffers(self.model)

    @property
    def layers(self) -> int:
        """Number of decoder layers."""
        return len(self._layers)

    @property
    def vocabulary(self) -> int:
        """Number of logits."""
        return cast("int", self.model.get_output_embeddings().weight.shape[0])

    @property
    def parameters(self) -> int:
        """Number of weights, tied ones counted once."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def all_weights(self, source: WeightSource) -> Weights:
        """Every weight of the model."""
        return self._take(source, [name for name, _ in self._named()])

    def outer_weights(self, source: WeightSource) -> Weights:
        """What is needed in front of the first layer: the embedding, mostly."""
        return self._take(source, self._outside(but=self._head))

    def head_weights(self, source: WeightSource) -> Weights:
        """What is needed behind the last layer: the final norm and the output matrix."""
        return self._take(source, self._outside(but=self._embedding))

    def layer_weights(self, index: int, source: WeightSource) -> Weights:
        """The weights and buffers of one decoder layer, by their names inside it."""
        prefix = f"{self._layers_name}.{index}."
        layer = self._layers[index]
        names = [prefix + name for name, _ in layer.named_parameters(remove_duplicate=False)]
        taken = self._take(source, names)
        weights = {name.removeprefix(prefix): tensor for name, tensor in taken.items()}
        return weights | dict(layer.named_buffers())

    def embed(self, weights: Weights, tokens: Tensor) -> tuple[Tensor, list[LayerInputs]]:
        """Run everything in front of the first layer.

        Args:
            weights: From `outer_weights`.
            tokens: (1, length), int64.

        Returns:
            The first layer's hidden states, (1, length, hidden), and every layer's other inputs.

        Raises:
            Unsupported: The model changes the hidden states between its layers.
        """
        hidden: list[Tensor] = []
        inputs: list[LayerInputs] = []

        def record(*args: Any, **kwargs: Any) -> Tensor:
            state = args[0] if args else kwargs.pop("hidden_states")
            if hidden and state is not hidden[0]:
                raise not_layerwise("its layers are not a plain chain")
            hidden[:] = [state]
            inputs.append(LayerInputs(args[1:], kwargs))
            if len(inputs) == self.layers:
                raise _Stop
            return cast("Tensor", state)

        try:
            self._call_around(record, weights, input_ids=tokens)
        except _Stop:
            return hidden[0], inputs
        raise not_layerwise("it has more layers than it uses")

    def layer(self, index: int, weights: Weights, hidden: Tensor, inputs: LayerInputs) -> Tensor:
        """Run one decoder layer on `hidden`, (batch, length, hidden size)."""
        import torch
        from torch.func import functional_call

        with torch.no_grad():
            output = functional_call(
                self._layers[index],
                weights,
                (hidden, *inputs.args),
                dict(inputs.kwargs),
                tie_weights=False,
            )
        return cast("Tensor", output[0] if isinstance(output, tuple) else output)

    def logits(self, weights: Weights, hidden: Tensor) -> Tensor:
        """Run everything behind the last layer.

        Args:
            weights: From `head_weights`.
            hidden: The last layer's output at any positions, (positions, hidden size); at most
                as many as the model's context.

        Returns:
            (positions, vocabulary).
        """

        def substitute(*_args: Any, **_kwargs: Any) -> Tensor:
            return hidden[None]

        output = self._call_around(substitute, weights, inputs_embeds=hidden[None])
        return cast("Tensor", output.logits[0])

    def next_logits(self, weights: Weights, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Read `tokens` after those in `cache` and predict the next ones, all layers at once.

        Args:
            weights: From `all_weights`.
            tokens: (texts, length), int64.
            cache: What the call before returned; None at the beginning.

        Returns:
            (texts, vocabulary), and the cache for the next call.
        """
        inputs = {"input_ids": tokens, "past_key_values": cache, "use_cache": True}
        output = self._call(weights, {**inputs, "logits_to_keep": 1})
        return output.logits[:, -1], output.past_key_values

    def _call_around(self, stand_in: Any, weights: Weights, **inputs: Tensor) -> Any:
        """Call the model with `stand_in` in the place of every layer's own computation."""
        for layer in self._layers:
            layer.forward = stand_in
        try:
            return self._call(weights, {**inputs, "use_cache": False})
        finally:
            for layer in self._layers:
                del layer.forward

    def _call(self, weights: Weights, inputs: Mapping[str, Any]) -> Any:
        import torch
        from torch.func import functional_call

        with torch.no_grad():
            return functional_call(self.model, weights, (), dict(inputs), tie_weights=False)

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.model.named_parameters(remove_duplicate=False))

    def _outside(self, but: str) -> list[str]:
        """Names of the parameters that belong to no layer, without those of the module `but`."""
        inner = (f"{self._layers_name}.", f"{but}.")
        return [name for name, _ in self._named() if not name.startswith(inner)]

    def _take(self, source: WeightSource, names: list[str]) -> Weights:
        taken: Weights = {}
        for name in names:
            tensor = source.weight(self._stored(source, name))
            wanted = self.model.get_parameter(name).shape
            if tensor.shape != wanted:
                raise BadModelFile(
                    f"The tensor {name} does not have the shape that the model's config promises.",
                    "The files may belong to different models. Download the model again.",
                    f"{tuple(tensor.shape)} instead of {tuple(wanted)}",
                )
            taken[name] = tensor
        return taken

    def _stored(self, source: WeightSource, name: str) -> str:
        """Under which name `source` has a parameter: its own, or the one it is tied to."""
        tied = self.model.get_parameter(name)
        own_first = [name, *(other for other, parameter in self._named() if parameter is tied)]
        for stored in own_first:
            if stored in source.names:
                return stored
        raise BadModelFile(
            f"The tensor {name} is missing from the model.",
            "The model may be incomplete. Download it again.",
        )


def _modules(config: Mapping[str, Any], max_layers: int) -> Any:
    """The causal language model that `config` describes, on the meta device."""
    quiet_transformers()
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = config.get("model_type")
    known_kind = isinstance(kind, str) and kind in CONFIG_MAPPING
    if not known_kind or CONFIG_MAPPING[kind] not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise Unsupported(
            f"Models of the type {kind!r} cannot be run here.",
            "The result can be used, but its quality is not measured.",
        )
    config_class = CONFIG_MAPPING[kind]
    try:
        known = config_class(**_allowed(config_class, config))
        if known.num_hidden_layers > max_layers:
            raise ValueError(f"{known.num_hidden_layers} layers")
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(known, dtype=torch.float32).eval()
    except (*_CONFIG_ERRORS, StrictDataclassError) as error:
        raise BadModelFile(
            "The model's config does not describe a model that can be run.",
            "Download the model again.",
            f"{type(error).__name__}: {error}",
        ) from error


def _allowed(config_class: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `config` that `config_class` itself declares, by today's names or older."""
    from transformers import PreTrainedConfig

    allowed = set(config_class.__dataclass_fields__) - set(PreTrainedConfig.__dataclass_fields__)
    aliases = config_class.attribute_map
    allowed |= {*aliases, *aliases.values(), *_OLD_ROPE_KEYS}
    chosen = {key: config[key] for key in allowed & config.keys()}
    if "pad_token_id" in allowed:
        chosen["pad_token_id"] = None  # changes no number, but may lie outside of the vocabulary
    return chosen


def _find_layers(model: Any) -> tuple[str, Any]:
    """The list of decoder layers and its name."""
    from torch import nn

    kinds = set(model._no_split_modules or ())
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and type(next(iter(module), None)).__name__ in kinds:
            return name, module
    raise not_layerwise("its layers were not found")


def _name_of(model: Any, wanted: Any) -> str:
    for name, module in model.named_modules():
        if module is wanted:
            return cast("str", name)
    raise not_layerwise("it has no embedding or no output matrix")


def _fill_buffers(model: Any) -> None:
    """Give the buffers that no checkpoint stores (rotary frequencies) their numbers."""
    import torch

    for name, module in model.named_modules():
        buffers = {key: b for key, b in module.named_buffers(recurse=False) if b.is_meta}
        if not all(buffer.is_floating_point() for buffer in buffers.values()):
            raise not_layerwise(f"{name} has a buffer of its own kind")
        for key, buffer in buffers.items():
            module._buffers[key] = torch.full_like(buffer, torch.nan, device="cpu")
        if buffers:
            with torch.no_grad():
                model._init_weights(module)
        if any(module.get_buffer(key).isnan().any() for key in buffers):
            raise not_layerwise(f"{name} has a buffer that is not computed from the config")


def not_layerwise(reason: str) -> Unsupported:
    """An error to raise: `reason` is a clause about the model."""
    return Unsupported(
        "This kind of model cannot be run layer by layer.",
        "The result can be used, but its quality is not measured.",
        reason,
    )


def quiet_transformers() -> None:
    """Make transformers importable without network, progress bars or chatter."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
