"""A decoder-only model without its weights, and the pieces it is computed in.

The modules are transformers' own, made on torch's meta device from the config as data: no code
and no weight of the model's repository is loaded. Weights are lent to a piece for the time of
one call, so a model of any size needs the memory of one of its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast
from weakref import WeakKeyDictionary

from app.core.errors import BadModelFile, Unsupported
from app.models.blank_model import blank_model, fill_buffers, find_layers, name_of, not_layerwise
from app.models.transformers_names import Origin, ParameterNames

if TYPE_CHECKING:
    from torch import Tensor

Weights = dict[str, "Tensor"]
"""Tensor by its name within a piece of the model."""

_CALL_ERRORS = (AttributeError, LookupError, TypeError, ValueError)
"""What modules raise that are not given everything they need; a full memory is none of them."""

#: What layers of different families return around their hidden states.
_ANSWERS: tuple[Callable[[Any], Any], ...] = (
    lambda state: state,
    lambda state: (state,),
    lambda state: (state, None),
    lambda state: (state, None, None),
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

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of a matrix, (rows, row length), float32, on the host."""


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
            declares, and numbers, are used; everything else, `auto_map` and kernels included, is
            ignored.
        max_layers: Refuses more layers than this, before they are made.

    Raises:
        Unsupported: transformers has no such model, or it cannot be run layer by layer.
        BadModelFile: The config contradicts itself.
    """

    def __init__(self, config: Mapping[str, Any], max_layers: int = 10_000) -> None:
        self.model = blank_model(config, max_layers)
        self._layers_name, self._layers = find_layers(self.model)
        self._embedding = name_of(self.model, self.model.get_input_embeddings())
        self._head = name_of(self.model, self.model.get_output_embeddings())
        unknown = fill_buffers(self.model)
        self._stored = _stored_in_files(self.model)
        self._computed = {name for name, _ in self.model.named_buffers()} - unknown
        self._names: WeakKeyDictionary[WeightSource, ParameterNames] = WeakKeyDictionary()
        self._answer = _ANSWERS[0]

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
        return self._take(source, list(self._stored))

    def outer_weights(self, source: WeightSource, tokens: Tensor) -> Weights:
        """What is needed in front of the first layer.

        Of the embedding, the rows of `tokens`, (n,): the texts are to be given as places in it.
        """
        weights = self._take(source, self._outside(self._head, self._embedding))
        return weights | self._parts(source, self._embedding, tokens.tolist())

    def head_weights(self, source: WeightSource) -> Weights:
        """What is needed behind the last layer: the final norm and the output matrix."""
        return self._take(source, self._outside(self._embedding))

    def head_part(self, source: WeightSource, start: int, stop: int) -> Weights:
        """The same for the logits of tokens `start` to `stop`."""
        return self.norm_weights(source) | self._parts(source, self._head, range(start, stop))

    def norm_weights(self, source: WeightSource) -> Weights:
        """What is needed between the last layer and the output matrix."""
        return self._take(source, self._outside(self._embedding, self._head))

    def layer_weights(self, index: int, source: WeightSource) -> Weights:
        """The weights and buffers of one decoder layer, by their names inside it."""
        prefix = self.layer_prefix(index)
        taken = self._take(source, [name for name in self._stored if name.startswith(prefix)])
        weights = {name.removeprefix(prefix): tensor for name, tensor in taken.items()}
        return dict(self._layers[index].named_buffers()) | weights

    def layer_names(self, index: int, source: WeightSource) -> frozenset[str]:
        """The tensors of `source` that one decoder layer is made of."""
        prefix = self.layer_prefix(index)
        own = (name for name in self._stored if name.startswith(prefix))
        origins = filter(None, (self.origin(source, name) for name in own))
        return frozenset(name for origin in origins for name in origin.names)

    def layer_prefix(self, index: int) -> str:
        """What the names of a layer's parameters begin with."""
        return f"{self._layers_name}.{index}."

    @property
    def head(self) -> str:
        """Name of the output matrix."""
        return f"{self._head}.weight"

    def origin(self, source: WeightSource, name: str) -> Origin | None:
        """The tensors of `source` that the parameter `name`, or one it is tied to, is made of."""
        if source not in self._names:
            self._names[source] = ParameterNames(self.model, source.names)
        names = self._names[source]
        return next(filter(None, (names.origin(one) for one in self._same_as(name))), None)

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
        first_failure: Exception | None = None
        for answer in _ANSWERS:
            self._answer = answer
            try:
                return self._recorded(weights, tokens)
            except (*_CALL_ERRORS, Unsupported) as error:
                first_failure = first_failure or error
        if isinstance(first_failure, Unsupported):
            raise first_failure
        raise not_layerwise(f"its layers need more: {first_failure}") from first_failure

    def _recorded(self, weights: Weights, tokens: Tensor) -> tuple[Tensor, list[LayerInputs]]:
        hidden: list[Tensor] = []
        inputs: list[LayerInputs] = []

        def record(*args: Any, **kwargs: Any) -> Any:
            state = args[0] if args else kwargs.pop("hidden_states")
            if hidden and state is not hidden[0]:
                raise not_layerwise("its layers are not a plain chain")
            hidden[:] = [state]
            inputs.append(LayerInputs(args[1:], kwargs))
            if len(inputs) == self.layers:
                raise _Stop
            return self._answer(state)

        try:
            self._call_around(record, weights, input_ids=tokens)
        except _Stop:
            return hidden[0], inputs
        raise not_layerwise("it has more layers than it uses")

    def layer(self, index: int, weights: Weights, hidden: Tensor, inputs: LayerInputs) -> Tensor:
        """Run one decoder layer on `hidden`, (batch, length, hidden size)."""
        import torch
        from torch.func import functional_call

        try:
            with torch.no_grad():
                output = functional_call(
                    self._layers[index],
                    weights,
                    (hidden, *inputs.args),
                    dict(inputs.kwargs),
                    tie_weights=False,
                )
        except _CALL_ERRORS as error:
            raise not_layerwise(f"layer {index} needs more: {error}") from error
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
        return cast("Tensor", self._call_behind(weights, hidden).logits[0])

    def head_inputs(self, weights: Weights, hidden: Tensor) -> Tensor:
        """What the output matrix is multiplied with.

        Args:
            weights: From `norm_weights`.
            hidden: As in `logits`.

        Returns:
            (positions, hidden size).
        """
        inputs: list[Tensor] = []

        def record(state: Tensor) -> Tensor:
            inputs.append(state)
            raise _Stop

        head = self.model.get_submodule(self._head)
        head.forward = record
        try:
            self._call_behind(weights, hidden)
        except _Stop:
            return inputs[0].flatten(0, -2)
        finally:
            del head.forward
        raise not_layerwise("its output matrix is not used as a layer")

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

    def _call_behind(self, weights: Weights, hidden: Tensor) -> Any:
        """Call the model on `hidden`, (positions, hidden size), in the place of all layers."""

        def substitute(*_args: Any, **_kwargs: Any) -> Any:
            return self._answer(hidden[None])

        return self._call_around(substitute, weights, inputs_embeds=hidden[None])

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

    def _outside(self, *but: str) -> list[str]:
        """What is stored and belongs to no layer, without that of the modules `but`."""
        inner = tuple(f"{module}." for module in (self._layers_name, *but))
        return [name for name in self._stored if not name.startswith(inner)]

    def _same_as(self, name: str) -> list[str]:
        """`name`, and the names of the parameters that it is tied to."""
        tied = self._stored[name]
        return [name, *(other for other, tensor in self._stored.items() if tensor is tied)]

    def _take(self, source: WeightSource, names: list[str]) -> Weights:
        """The parameters and buffers `names`, each tensor of `source` read once.

        A buffer that `source` does not have, but that follows from the config, is left out.
        """
        taken: Weights = {}
        made: Weights = {}
        for name in names:
            origin = self.origin(source, name)
            if origin is None:
                if name in self._computed:
                    continue
                raise BadModelFile(
                    f"The tensor {name} is missing from the model.",
                    "The model may be incomplete. Download it again.",
                )
            if made.keys().isdisjoint(origin.parameters):
                made |= self._made(origin, source)
            tensor = next(made[one] for one in self._same_as(name) if one in made)
            self._check_shape(name, tensor)
            taken[name] = tensor
        return taken

    def _parts(self, source: WeightSource, module: str, rows: Sequence[int]) -> Weights:
        """Rows of the matrix of `module`, and elements of its bias."""
        import torch

        parts: Weights = {}
        for name in (name for name in self._stored if name.startswith(f"{module}.")):
            origin = self.origin(source, name)
            if origin is None or origin.rule is not None or self._stored[name].ndim != 2:
                parts[name] = self._take(source, [name])[name][torch.tensor(rows)]
                continue
            (stored,) = origin.names
            read = [source.rows(stored, first, last) for first, last in _runs(rows)]
            parts[name] = torch.cat(read)
            if parts[name].shape != (len(rows), self._stored[name].shape[1]):
                self._check_shape(name, source.weight(stored))
        return parts

    def _made(self, origin: Origin, source: WeightSource) -> Weights:
        try:
            return origin.read(self.model, source.weight)
        except (IndexError, RuntimeError, ValueError) as error:
            raise BadModelFile(
                f"The tensors that {origin.parameters[0]} is made of do not fit together.",
                "The model may be incomplete. Download it again.",
                str(error),
            ) from error

    def _check_shape(self, name: str, tensor: Tensor) -> None:
        wanted = self._stored[name].shape
        if tensor.shape != wanted:
            raise BadModelFile(
                f"The tensor {name} does not have the shape that the model's config promises.",
                "The files may belong to different models. Download the model again.",
                f"{tuple(tensor.shape)} instead of {tuple(wanted)}",
            )


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring ascending numbers as (first, behind the last)."""
    first = 0
    for place in range(1, len(numbers) + 1):
        if place == len(numbers) or numbers[place] != numbers[place - 1] + 1:
            yield numbers[first], numbers[place - 1] + 1
            first = place


def _stored_in_files(model: Any) -> Weights:
    """Parameters and persistent buffers by name; tied ones are one object under many names."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    stored: Weights = model.state_dict() | parameters
    return stored
