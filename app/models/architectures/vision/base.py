"""What has to be known of a model's part that sees to store it for llama.cpp.

A family lists the tensors of the encoder and of the projector, by llama.cpp's names and by those of
the checkpoint without what differs between publications ("model.", "vision_model."), and says how
llama.cpp wants them described.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures.base import Config, Weight, text_part
from app.models.architectures.changes import AS_IS, Change
from app.models.config import items, read_json, section, text, whole_number
from app.models.source_file import shown

PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Where a folder says how pictures are prepared; what the later one says counts."""

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
CLIP_COLOURS = _CLIP_MEAN, _CLIP_DEVIATION
"""Mean and deviation of the colours that CLIP was trained on."""
IMAGENET_COLOURS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EVEN_COLOURS = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""From 0 .. 1 to -1 .. 1."""

_SAME = {"gelu": "gelu", "gelu_pytorch_tanh": "gelu", "silu": "silu", "quick_gelu": ""}


@dataclass(frozen=True, slots=True)
class Tower:
    """The sizes of an encoder."""

    layers: int
    hidden: int
    inner: int
    heads: int
    patch: int
    """Pixels of a side of a patch."""
    image: int
    """Pixels of a side of the picture that it was made for."""

    @property
    def patches(self) -> int:
        """Patches of that picture."""
        return (self.image // self.patch) ** 2


class Vision(ABC):
    """One family."""

    title: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    """Transformers' names for whole models of the family."""
    projector: ClassVar[str]
    """llama.cpp's name for it."""
    defaults: ClassVar[Config]
    """What transformers assumes where the config's `vision_config` is silent."""
    colours: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]
    """Mean and deviation of colours, where the folder does not say."""
    renamed: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"^model\.", ""),
        (r"^vision_tower\.vision_model\.", "vision_tower."),
    )
    """How names differ between publications: regular expressions, and what they become."""
    roots: ClassVar[tuple[str, ...]] = ("vision_tower.", "multi_modal_projector.")
    """How the names of its tensors start, then."""
    skipped: ClassVar[str] = r"^vision_tower\.head\."
    """Tensors that llama.cpp has no use for."""
    epsilon: ClassVar[float] = 1e-6
    """What keeps norms from dividing by zero, where the config does not say."""

    def matches(self, config: Config) -> bool:
        """Whether a config.json is of this family."""
        seen = isinstance(config.get("vision_config"), Mapping)
        return seen and config.get("model_type") in self.model_types

    def part(self, config: Config) -> Config:
        """The entries about the encoder, defaults included."""
        stated = section(config, "vision_config")
        return {**self.defaults, **{k: v for k, v in stated.items() if v is not None}}

    def tower(self, config: Config) -> Tower:
        """The sizes.

        Raises:
            BadModelFile: One is missing or out of bounds, or they contradict each other.
        """
        part = self.part(config)
        found = Tower(
            whole_number(part, "num_hidden_layers"),
            whole_number(part, "hidden_size"),
            whole_number(part, "intermediate_size"),
            whole_number(part, "num_attention_heads"),
            side(part, "patch_size"),
            side(part, "image_size"),
        )
        if found.hidden % found.heads:
            raise BadModelFile(
                f"The part that sees is {found.hidden} wide, which {found.heads} heads cannot "
                "share.",
                "The model's description (config.json) is damaged. Download it again.",
            )
        return found

    @abstractmethod
    def weights(self, config: Config, stored: Collection[str]) -> Iterator[Weight]:
        """Every tensor; see `Architecture.weights`."""

    def details(self, config: Config, preprocessor: Config) -> dict[str, Any]:  # noqa: ARG002
        """More entries, their names without "clip.".

        Args:
            config: Of the whole model.
            preprocessor: How pictures are prepared; may be empty.

        Raises:
            BadModelFile: A number is missing or out of bounds.
            Unsupported: llama.cpp cannot run a model like this.
        """
        return {}

    def activation(self, config: Config) -> str:
        """Name of the function between the matrices of the feed-forward part."""
        return text(self.part(config), "hidden_act")

    def metadata(self, config: Config, preprocessor: Config) -> dict[str, Any]:
        """All entries, their names without "clip."; see `details`."""
        tower, part = self.tower(config), self.part(config)
        mean, deviation = self.colours
        entries = {
            "has_vision_encoder": True,
            "projector_type": self.projector,
            **_activation(self.activation(config), self.title),
            "vision.projection_dim": whole_number(text_part(config), "hidden_size"),
            "vision.image_size": tower.image,
            "vision.patch_size": tower.patch,
            "vision.embedding_length": tower.hidden,
            "vision.feed_forward_length": tower.inner,
            "vision.block_count": tower.layers,
            "vision.attention.head_count": tower.heads,
            "vision.attention.layer_norm_epsilon": float(part.get("layer_norm_eps", self.epsilon)),
            "vision.image_mean": _colours(preprocessor, "image_mean", mean),
            "vision.image_std": _colours(preprocessor, "image_std", deviation),
        }
        return {**entries, **self.details(config, preprocessor)}

    def stored_names(self, names: Collection[str]) -> dict[str, str]:
        """The checkpoint's tensors by the names that `weights` uses."""
        found = {}
        for name in names:
            plain = name
            for pattern, replacement in self.renamed:
                plain = re.sub(pattern, replacement, plain)
            if plain.startswith(self.roots) and not (
                self.skipped and re.search(self.skipped, plain)
            ):
                found[plain] = name
        return found


def linear(
    gguf: str, hf: str, rows: int, row: int, *, change: Change = AS_IS, bias: bool | None = True
) -> Iterator[Weight]:
    """A matrix with its bias; `bias` None: it may have one."""
    yield Weight.of(f"{gguf}.weight", f"{hf}.weight", rows, row, change=change)
    if bias is not False:
        optional = bias is None
        yield Weight.of(f"{gguf}.bias", f"{hf}.bias", rows, change=change, optional=optional)


def norm(gguf: str, hf: str, size: int, *, bias: bool = True) -> Iterator[Weight]:
    """A norm."""
    yield Weight.of(f"{gguf}.weight", f"{hf}.weight", size)
    if bias:
        yield Weight.of(f"{gguf}.bias", f"{hf}.bias", size)


def side(part: Config, key: str) -> int:
    """A size in pixels, which may be stated for both sides.

    Raises:
        BadModelFile: It is missing, out of bounds, or differs between the sides.
    """
    stated = part.get(key)
    if isinstance(stated, list | tuple) and len(stated) == 2 and stated[0] == stated[1]:
        return whole_number({key: stated[0]}, key)
    return whole_number(part, key)


def read_preprocessor(folder: Path) -> dict[str, Any]:
    """What the folder says about preparing pictures; empty where it says nothing.

    Raises:
        BadModelFile: A file is damaged.
    """
    found: dict[str, Any] = {}
    for name in PREPROCESSORS:
        if (folder / name).exists():
            stated = read_json(folder / name)
            found |= {**stated, **section(stated, "image_processor", {}, file=name)}
    return found


def _colours(preprocessor: Config, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    found = items(preprocessor, key, default, file=PREPROCESSORS[0])
    if len(found) != 3 or any(type(one) not in {int, float} for one in found):
        raise BadModelFile(
            f"{PREPROCESSORS[0]}: {key} must be three numbers.", "Download the file again."
        )
    return tuple(float(one) for one in found)


def _activation(name: str, title: str) -> dict[str, bool]:
    if name not in _SAME:
        raise Unsupported(
            f"This {title} model computes {shown(name)}, which llama.cpp does not.",
            "Choose another model of the family.",
        )
    return {f"use_{_SAME[name]}": True} if _SAME[name] else {}
