"""A quantized checkpoint seen as the plain one that it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import Unsupported
from app.core.tensor import TensorInfo
from app.models.base import Checkpoint
from app.models.config import section, text
from app.models.quantized.base import Method, QuantizedWeight, damaged, not_read
from app.models.quantized.methods import METHODS
from app.models.quantized.methods.fp8 import FP8
from app.models.quantized.methods.mlx import Mlx, settings_of
from app.models.source_file import shown

if TYPE_CHECKING:
    from torch import Tensor

_FIELDS = ("quantization_config", "quantization", "compression_config")
_FLOATS = {"F64", "F32", "F16", "BF16"}
#: Masks and positions, which some plain models store, too.
_BUFFERS = {"BOOL", "I64"}
#: What belongs to activations and to the cache of attention, and to no weight.
_OF_ACTIVATIONS = re.compile(
    r"[._](?:(?:input|output|activation)_(?:global_)?(?:scale|zero_point)(?:_ub)?"
    r"|(?:[kqv]|kv)_(?:scale|zero_point))$"
)


class Dequantized(Checkpoint):
    """Names, shapes and numbers of the plain model, computed from a quantized one as needed.

    Quantized weights are float32: the products of codes and scales are not rounded again.
    """

    kind: ClassVar[str] = "safetensors"

    def __init__(self, stored: Checkpoint, method: Method, settings: Mapping[str, Any]) -> None:
        """Look at the shapes of all parts.

        Raises:
            BadModelFile: Parts are missing, or contradict each other.
            Unsupported: A variant of the method that is not read.
        """
        self._stored = stored
        self.path: Path = stored.path
        self.files: Sequence[Path] = stored.files
        self.config: Mapping[str, Any] = _without_quantization(stored.config)
        self._method = method
        self._weights = dict(method.weights(stored, settings))
        self.tensors: dict[str, TensorInfo] = _plain_tensors(stored, self._weights)

    @property
    @override
    def stored_as(self) -> str:
        return self._method.name if self._weights else super().stored_as

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        name = self._method.name
        if not self._weights:
            return ()
        if self.native:
            return (f"The model was published in {name}; nothing is lost by reading it.",)
        lost = f"The source was quantized before, with {name}: what that lost stays lost."
        return (f"{lost} The original in BF16 or F16, if you can get it, is the better source.",)

    @property
    def native(self) -> bool:
        """Whether makers of models publish in this form, so that no original is more exact."""
        return self._method.native

    @override
    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        weight = self._weights.get(name)
        if weight is None:
            return self._stored.rows(name, start, stop)
        rows = prod(weight.shape[:-1])
        stop = rows if stop is None else stop
        if not 0 <= start <= stop <= rows:
            raise IndexError(f"{name} has {rows} rows, not {start} to {stop}")
        if start == stop:
            import torch

            return torch.empty(0, weight.shape[-1])
        return weight.rows(self._stored, start, stop)

    @property
    @override
    def nbytes(self) -> int:
        return self._stored.nbytes


def plain(checkpoint: Checkpoint) -> Checkpoint:
    """The plain model that `checkpoint` stands for; itself, where it is one.

    Raises:
        BadModelFile: Parts of a quantized weight are missing, or contradict each other.
        Unsupported: It is quantized in a way that is not read.
    """
    if checkpoint.kind != "safetensors" or isinstance(checkpoint, Dequantized):
        return checkpoint
    found = _method_of(checkpoint)
    if found is None:
        return checkpoint
    return Dequantized(checkpoint, *found)


def seen_plain(checkpoint: Checkpoint) -> Checkpoint:
    """Like `plain`, but what cannot be read so stays as it is: it can still be looked at.

    Raises:
        BadModelFile: See `plain`.
    """
    try:
        return plain(checkpoint)
    except Unsupported:
        return checkpoint


def _method_of(checkpoint: Checkpoint) -> tuple[Method, Mapping[str, Any]] | None:
    """How a model is quantized: by its config, or else by its tensors' names and dtypes."""
    for config in (checkpoint.config, section(checkpoint.config, "text_config", {})):
        settings = section(config, "quantization_config", section(config, "compression_config", {}))
        named = text(settings, "quant_method", "").lower()
        if named:
            return _called(named, settings), settings
        own = settings_of(config) or settings_of({"quantization": settings})
        if own is not None:
            return Mlx(), own
    for method in METHODS:
        if any(name.endswith(method.signs) for name in checkpoint.tensors if method.signs):
            return method, {}
    # FP8 numbers without any scales are plain, if coarse.
    odd = (one for one in checkpoint.tensors.values() if _is_odd(one) and one.dtype not in FP8)
    unknown = next(odd, None)
    if unknown is None:
        return None
    raise not_read(f"{unknown.dtype} numbers that config.json does not explain")


def _called(named: str, settings: Mapping[str, Any]) -> Method:
    """The method that a config names; AutoRound borrows the layouts of others."""
    if named.endswith("auto-round") and text(settings, "packing_format", "").endswith("awq"):
        named = "awq"
    for method in METHODS:
        if named in method.config_names:
            return method
    raise not_read(shown(named))


def _plain_tensors(
    stored: Checkpoint, weights: Mapping[str, QuantizedWeight]
) -> dict[str, TensorInfo]:
    """Each weight in the place of its first part; what belongs to activations is left out.

    Raises:
        BadModelFile: A weight is there twice, or in numbers that nothing explains.
    """
    owners: dict[str, list[str]] = {}
    for plain_name, weight in weights.items():
        for name in weight.parts:
            owners.setdefault(name, []).append(plain_name)
    found: dict[str, TensorInfo] = {}
    for name, info in stored.tensors.items():
        if name in owners:
            for owner in owners[name]:
                weight = weights[owner]
                nbytes = sum(stored.tensors[one].nbytes for one in weight.parts) // weight.sharing
                found.setdefault(owner, TensorInfo(owner, weight.shape, "F32", nbytes))
        elif name in weights:
            raise damaged(name, "is there twice, plain and quantized")
        elif not _OF_ACTIVATIONS.search(name):
            if _is_odd(info):
                raise damaged(name, f"holds {info.dtype} numbers, and no scales belong to them")
            found[name] = info
    return found


def _is_odd(info: TensorInfo) -> bool:
    """Whether a tensor holds a matrix of numbers that are no plain weights.

    GPT-2 and its kin store masks as bytes, under the name of a bias.
    """
    plain_dtype = info.dtype in _FLOATS | _BUFFERS or info.name.endswith(".bias")
    return not plain_dtype and len(info.shape) > 1


def _without_quantization(config: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in config.items() if key not in _FIELDS}
    inner = found.get("text_config")
    if isinstance(inner, Mapping):
        found["text_config"] = {key: inner[key] for key in inner if key not in _FIELDS}
    return found
