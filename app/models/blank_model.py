"""A causal language model of transformers' own classes, without any weight.

Made on torch's meta device from the config as data: no code and no weight of the model's
repository is loaded. Only the buffers that follow from the config have numbers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from app.core.errors import BadModelFile, Unsupported

if TYPE_CHECKING:
    from torch import Tensor

#: Keys of config.json that old checkpoints use for a field of today's config classes.
_OLD_ROPE_KEYS = {"rope_theta", "rope_scaling", "partial_rotary_factor", "rotary_pct"}

_PER_LAYER = "per_layer_config"
"""Where transformers keeps the numbers of layers that differ from the others."""

CONFIG_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the config classes and the modules raise for values that make no model."""


def blank_model(config: Mapping[str, Any], max_layers: int) -> Any:
    """The causal language model that `config` describes, on the meta device.

    Experts are computed one by one, so that what each is given can be seen.

    Raises:
        Unsupported: transformers has no such model.
        BadModelFile: The config contradicts itself, or has more than `max_layers` layers.
    """
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
            model = AutoModelForCausalLM.from_config(
                known, dtype=torch.float32, experts_implementation="eager"
            )
    except (*CONFIG_ERRORS, StrictDataclassError) as error:
        raise BadModelFile(
            "The model's config does not describe a model that can be run.",
            "Download the model again.",
            f"{type(error).__name__}: {error}",
        ) from error
    return model.eval()


def _allowed(config_class: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `config` that may describe a model.

    They are what `config_class` itself declares, by today's names or older; and undeclared numbers,
    since modules look for some ("head_dim"), and a number names neither code nor files.
    """
    from transformers import PreTrainedConfig

    common = set(PreTrainedConfig.__dataclass_fields__)
    allowed = set(config_class.__dataclass_fields__) - common
    aliases = config_class.attribute_map
    allowed |= {*aliases, *aliases.values(), *_OLD_ROPE_KEYS}
    allowed |= {key for key in _numbers(config) if not hasattr(config_class, key)} - common
    chosen = {key: _decoded(config[key]) for key in allowed & config.keys()}
    if isinstance(config.get(_PER_LAYER), dict):
        chosen[_PER_LAYER] = {layer: _numbers(own) for layer, own in config[_PER_LAYER].items()}
    if "pad_token_id" in allowed:
        chosen["pad_token_id"] = None  # changes no number, but may lie outside of the vocabulary
    return chosen


def _numbers(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if type(value) in {int, float}}


def _decoded(value: Any) -> Any:
    """A value of config.json, where transformers writes infinity as {"__float__": "Infinity"}."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict) and value.keys() == {"__float__"}:
        return float(value["__float__"])
    return value


def find_layers(model: Any) -> tuple[str, Any]:
    """The list of decoder layers and its name.

    Raises:
        Unsupported: There is none that is known as one.
    """
    from torch import nn

    kinds = set(model._no_split_modules or ())
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and type(next(iter(module), None)).__name__ in kinds:
            return name, module
    raise not_layerwise("its layers were not found")


def name_of(model: Any, wanted: Any) -> str:
    """The name of a module.

    Raises:
        Unsupported: It is none of the model's.
    """
    for name, module in model.named_modules():
        if module is wanted:
            return cast("str", name)
    raise not_layerwise("it has no embedding or no output matrix")


def fill_buffers(model: Any) -> set[str]:
    """Give the buffers that follow from the config (rotary frequencies, masks) their numbers.

    Returns:
        Names of those that a checkpoint has to store.

    Raises:
        Unsupported: There is a buffer that neither follows from the config nor is ever stored.
    """
    import torch

    meta = {name for name, buffer in model.named_buffers() if buffer.is_meta}
    found = [_initialised(model, meta, start) for start in (0, 1)]
    unknown = {name for name in meta if not torch.equal(found[0][name], found[1][name])}
    never_stored = unknown - model.state_dict().keys()
    if never_stored:
        raise not_layerwise(f"{min(never_stored)} is not computed from the config")
    return unknown


def _initialised(model: Any, names: set[str], start: int) -> dict[str, Tensor]:
    """The buffers `names` after transformers has initialised them from `start` everywhere."""
    import torch

    for name in names:
        module, _, key = name.rpartition(".")
        owner = model.get_submodule(module)
        owner._buffers[key] = torch.full_like(owner._buffers[key], start, device="cpu")
    try:
        with torch.no_grad():
            for module in _with_buffers(model, names):
                model._init_weights(module)
    except CONFIG_ERRORS as error:
        raise not_layerwise("its buffers cannot be computed by themselves") from error
    return {name: model.get_buffer(name).clone() for name in names}


def _with_buffers(model: Any, names: set[str]) -> Iterator[Any]:
    """Modules that have one of the buffers `names`, themselves or further inside."""
    owners = {name.rpartition(".")[0] for name in names}
    around = {"" for _ in owners}
    for owner in owners:
        parts = owner.split(".")
        around |= {".".join(parts[: count + 1]) for count in range(len(parts))}
    for name, module in model.named_modules():
        if name in around:
            yield module


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
