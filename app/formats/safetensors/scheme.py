"""The contract of a way in which runtimes expect quantized weights in a folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from app.encodings.folder import DTYPE_NAMES
from app.formats.base import Preset
from app.formats.safetensors.targets import Role, Target

if TYPE_CHECKING:
    from app.formats.safetensors.inputs import InputScale

VLLM = "vLLM, SGLang"
TRANSFORMERS = "transformers"
EVERYWHERE = f"{TRANSFORMERS}, {VLLM}"
MAC = "MLX on a Mac"


@dataclass(frozen=True, slots=True)
class Modules:
    """What became of a model's modules, by their names."""

    quantized: tuple[str, ...]
    left: tuple[str, ...]
    """Those that could be taken for quantized ones and are not, the output layer among them."""
    dtype: str
    """What other weights are stored in: "BF16"."""


class Scheme(ABC):
    """What becomes of a model's weights, and how config.json says so.

    Subclasses are frozen dataclasses; each variant is a preset.
    """

    roles: ClassVar[frozenset[Role]] = frozenset({Role.LINEAR, Role.EXPERT})
    """What is quantized."""
    families: ClassVar[frozenset[str]] = frozenset()
    """The only values of "model_type" that it is for; empty: all."""
    experts_run_in: ClassVar[str] = ""
    """The only programs that load quantized experts; "": all that load the format."""
    library: ClassVar[str] = "transformers"
    """What the folder is made for, as hubs know it."""
    made_for: ClassVar[str] = "pt"
    """The same, as headers of files have it."""

    @classmethod
    def variants(cls) -> Iterator[Self]:
        """Each choice of parameters that is offered."""
        yield cls()

    @property
    @abstractmethod
    def preset(self) -> Preset:
        """How it is offered."""

    @property
    def joined(self) -> bool:
        """Whether weights that runtimes join must have one scale."""
        return False

    def floats(self, main: str) -> str:
        """What other weights become, where most of the source is in `main`."""
        return "BF16" if main == "F32" else main

    @abstractmethod
    def encoding(self, dtype: str) -> str:
        """Name of the encoding of what is quantized; other weights are stored in `dtype`."""

    def knows_experts(self, model_type: str) -> bool:  # noqa: ARG002 - most do
        """Whether any program loads quantized experts of this kind of model."""
        return True

    def fits(self, shape: tuple[int, ...]) -> bool:  # noqa: ARG002 - encodings say what they need
        """Whether runtimes can multiply with such a matrix, where the encoding can hold it."""
        return True

    @abstractmethod
    def config(self, modules: Modules) -> dict[str, Any]:
        """Fields that config.json gets."""

    def known(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The source's config, so that what loads the folder understands it."""
        return dict(config)

    def stack(self, target: Target) -> str:  # noqa: ARG002 - most store each by itself
        """The weight that an expert's matrix is stored in, with those of all experts; or ""."""
        return ""

    @property
    def input_scale(self) -> InputScale | None:
        """The scale of inputs that a quantized weight has beside it."""
        return None

    def files(self, config: Mapping[str, Any]) -> dict[str, bytes]:  # noqa: ARG002 - most have none
        """More small files by name; `config` is what was added to config.json."""
        return {}

    def beside(self, target: Target) -> tuple[str, ...]:  # noqa: ARG002 - most have none
        """Names of single bytes 0 that a quantized weight has beside it."""
        return ()


def scaled(name: str, dtype: str) -> str:
    """An encoding's name with scales of `dtype`."""
    return name if dtype == "BF16" else f"{name}-{DTYPE_NAMES[dtype]}"


def module(weight: str) -> str:
    """The module that a weight belongs to."""
    return weight.removesuffix(".weight")
