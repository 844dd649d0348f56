"""What has to be known of a family of models to store it in another convention.

A family is a class in a file of this folder. It lists the tensors of a model, each with its names
in two conventions, Hugging Face's and GGUF's, and with what changes on the way; and it says how
llama.cpp wants the model described. The list follows from config.json alone, so that a checkpoint
can be held against it: nothing is missing, nothing is left over, every shape is as promised.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from app.core.errors import BadModelFile, Unsupported
from app.core.tensor import TensorInfo
from app.models.architectures.changes import AS_IS, Change
from app.models.config import flag

Config = Mapping[str, Any]

OUTPUT = "output.weight"
ROPE_FACTORS = "rope_freqs.weight"
LONG_FACTORS = "rope_factors_long.weight"
SHORT_FACTORS = "rope_factors_short.weight"

#: Numbers that follow from the config, stored by old checkpoints and by GGUF files.
_COMPUTED = re.compile(
    rf"^{ROPE_FACTORS}$|^rope_factors_(long|short)\.weight$|\.rotary_emb\.inv_freq$"
    r"|\.attention\.(masked_)?bias$|\.attn\.(masked_)?bias$"
)
_OTHER_PARTS = re.compile(
    r"(^|\.)(vision_tower|vision_model|visual|vision_encoder|embed_vision|vision_embed_tokens"
    r"|multi_modal_projector|mm_projector|patch_merger|audio_tower|embed_audio|mtp)\."
)
"""Parts beside the language model: pictures, sound, and drafting of later tokens."""
_LAYER = re.compile(r"model\.layers\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The numbers that most tensors' shapes follow from."""

    layers: int
    hidden: int
    inner: int
    """Width of the feed-forward part."""
    heads: int
    kv_heads: int
    head: int
    """Elements of one attention head."""
    vocabulary: int
    """Rows of the embedding."""
    experts: int = 0
    """Experts a layer; 0: it is no mixture."""
    used_experts: int = 0
    """Experts that each token goes through."""
    expert_inner: int = 0
    """Width of one expert."""

    @property
    def queries(self) -> int:
        """Rows of a query projection."""
        return self.heads * self.head

    @property
    def keys(self) -> int:
        """Rows of a key or value projection."""
        return self.kv_heads * self.head


@dataclass(frozen=True, slots=True)
class Source:
    """A tensor of a Hugging Face checkpoint."""

    name: str
    shape: tuple[int, ...]
    """What it should be. -1: any size, where the config does not say."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of a GGUF file, and what it is made of."""

    gguf: str
    sources: tuple[Source, ...]
    change: Change = field(default=AS_IS)
    optional: bool = False
    """Whether a model may come without it."""

    @classmethod
    def of(cls, gguf: str, hf: str, *shape: int, change: Change = AS_IS, **more: Any) -> Weight:
        """The usual case: one tensor becomes one tensor."""
        return cls(gguf, (Source(hf, shape),), change, **more)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in the GGUF file, row-major."""
        return self.change.shape([source.shape for source in self.sources])


class Architecture(ABC):
    """One family of models."""

    title: ClassVar[str]
    """Its name for the user."""
    gguf: ClassVar[str]
    """llama.cpp's name for it, the value of `general.architecture`."""
    model_types: ClassVar[tuple[str, ...]]
    """Transformers' names for it; the first one is written back."""
    classes: ClassVar[tuple[str, ...]]
    """Names in config.json's `architectures`; the first one is written back."""
    defaults: ClassVar[Config]
    """What transformers assumes where config.json is silent."""
    unsaid: ClassVar[Config] = {}
    """What transformers assumes where the description of a model that sees or hears is silent.

    Such a description holds only what differs, for its text part.
    """
    spellings: ClassVar[tuple[tuple[str, str], ...]] = (
        ("", ""),
        ("model.", "model.language_model."),
        ("", "language_model."),
        ("model.", "language_model."),
        ("model.", ""),
    )
    """How names may start: as in `weights`, and in checkpoints of models that see or hear."""
    skipped: ClassVar[str] = ""
    """A regular expression of tensors that are left out, besides other parts of the model."""

    @abstractmethod
    def dimensions(self, config: Config) -> Dimensions:
        """The sizes.

        Raises:
            BadModelFile: One is missing or out of bounds, or they contradict each other.
        """

    @abstractmethod
    def weights(self, config: Config, stored: Collection[str]) -> Iterable[Weight]:
        """Every tensor of the model's GGUF file that is made of tensors of the checkpoint.

        Args:
            config: Of the language model: see `text_part`.
            stored: Names of the checkpoint's tensors, where a family comes in several layouts;
                empty when a GGUF file is read. Lazy: a hostile config lists no more than the
                checkpoint has.
        """

    @abstractmethod
    def metadata(self, config: Config) -> dict[str, Any]:
        """The entries of a GGUF file that describe the model, without the architecture's prefix.

        Raises:
            BadModelFile: A number is missing or out of bounds.
            Unsupported: llama.cpp cannot run a model like this.
        """

    def computed(self, config: Config) -> dict[str, tuple[float, ...]]:  # noqa: ARG002
        """Vectors of the GGUF file that follow from the config, by name."""
        return {}

    def notes(self, config: Config) -> tuple[str, ...]:  # noqa: ARG002
        """Sentences on what llama.cpp does differently.

        Raises:
            Unsupported: llama.cpp cannot run a model like this.
        """
        return ()

    def text_config(self, config: Config) -> Config:
        """The config of a plain text model that computes the same, for transformers."""
        return config

    def is_tied(self, config: Config) -> bool:
        """Whether the output layer is the embedding, used a second time."""
        return flag(config, "tie_word_embeddings", self.defaults["tie_word_embeddings"])

    def config(
        self,
        metadata: Mapping[str, Any],
        tensors: Mapping[str, TensorInfo],
        divisors: Sequence[float] | None,
    ) -> Config:
        """A config.json for transformers that describes the model in a GGUF file.

        Args:
            metadata: Plain values by their full keys.
            tensors: The file's.
            divisors: Content of `rope_freqs.weight`, if there is one.

        Raises:
            BadModelFile: A number is missing or out of bounds.
            Unsupported: That cannot be told from the file.
        """
        del metadata, tensors, divisors
        raise Unsupported(
            f"A GGUF file does not tell everything about a {self.title} model.",
            "Start from the original folder with .safetensors files instead.",
        )

    def stored_names(self, names: Collection[str], config: Config) -> dict[str, str]:
        """The checkpoint's tensors by the names that `weights` uses.

        Parts beside the language model are left out, and layers behind its last one, which
        draft later tokens.
        """
        last = config.get("num_hidden_layers") if config.get("num_nextn_predict_layers") else None
        skipped = re.compile(self.skipped) if self.skipped else None
        kept = [
            name for name in names if not _OTHER_PARTS.search(name) and not _COMPUTED.search(name)
        ]
        ours, theirs = max(self.spellings, key=lambda spelling: _matches(kept, *spelling))
        found = {}
        for name in kept:
            plain = ours + name.removeprefix(theirs) if name.startswith(theirs) else name
            layer = _LAYER.match(plain)
            if layer and last is not None and int(layer[1]) >= last:
                continue
            if skipped is None or not skipped.search(plain):
                found[plain] = name
        return found


def _matches(names: Iterable[str], ours: str, theirs: str) -> tuple[int, int]:
    """How many names start as `theirs`; of two ways that fit all names, the longer one says more.

    Only layers are looked at: an output layer has its own name in all spellings.
    """
    start = re.compile(re.escape(theirs) + (r"" if ours else r"\w+\.") + r"(layers|h|blocks)\.")
    return sum(1 for name in names if start.match(name)), len(theirs)


def text_part(config: Config) -> Config:
    """The entries about the language model, where a config describes several models."""
    inner = config.get("text_config") or config.get("llm_config")
    if not isinstance(inner, Mapping):
        return config
    outer = {
        key: value for key, value in config.items() if key not in {"text_config", "llm_config"}
    }
    return {**outer, **inner, "architectures": config.get("architectures", [])}


def check_shape(info: TensorInfo | None, name: str, shape: tuple[int, ...]) -> None:
    """Hold a stored tensor against what it should be.

    Raises:
        BadModelFile: It is missing or has another shape.
    """
    if info is None:
        raise BadModelFile(
            f"The model has no tensor {name}.",
            "Its files are incomplete, or its config.json belongs to another model. "
            "Download it again.",
        )
    wanted = tuple(
        found if size == -1 else size for size, found in zip(shape, info.shape, strict=False)
    )
    if len(info.shape) != len(shape) or info.shape != wanted:
        raise BadModelFile(
            f"The tensor {name} has the shape {list(info.shape)}, but by the model's own "
            f"description it should have {list(shape)}.",
            "Its files do not belong together. Download the model again.",
        )


def refuse_unknown(title: str, unknown: Iterator[str]) -> None:
    """Refuse tensors that nothing was made of: what they do would be lost.

    Raises:
        Unsupported: There are some.
    """
    names = list(unknown)
    if names:
        raise Unsupported(
            f"This {title} model has tensors that this family does not have: "
            f"{', '.join(names[:3])}{' and more' if len(names) > 3 else ''}.",
            "It may be an adapter, a variant with extra parts, or already quantized. "
            "Choose the plain model that it was made from.",
            "\n".join(names[:100]),
        )
