"""Adapters: what fine-tuning with PEFT adds to a model, as matrices of low rank.

A folder holds adapter_config.json and adapter_model.safetensors. For a linear layer of weight W,
(out, in), these have A, (rank, in), and B, (out, rank); the tuned layer has W + scale * B A.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv:2106.09685.
Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", arXiv:2312.03732.
Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", ICML 2024, arXiv:2402.09353.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.core.errors import BadModelFile, Unsupported
from app.models.architectures import find_architecture
from app.models.architectures.base import Architecture, Config, text_part
from app.models.architectures.changes import Reader, Shape
from app.models.config import flag, number, read_json, section, text
from app.models.description import Description, describe_folder
from app.models.open import open_model
from app.models.quantized import plain
from app.models.safetensors_header import StoredTensor, read_safetensors_header
from app.models.source_file import SourceFile, shown
from app.models.stored_rows import plain_rows

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_AGAIN = "Download the adapter again; its files belong in one folder."
_FACTOR = re.compile(
    r"(?P<module>.+)\.(?:lora_(?P<side>[AB])(?:\.\w+)?\.weight"
    r"|lora_embedding_(?P<embedded>[AB])(?:\.\w+)?"
    r"|(?P<magnitude>lora_magnitude_vector)(?:\.\w+)?)"
)
_WHOLE = re.compile(r"\.(?:base_layer|modules_to_save(?:\.default)?)(?=\.[^.]+$)")
#: Ways to begin that change the base model, so that a plain one is not what the adapter is for.
_CHANGED_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True, slots=True)
class StoredFactor:
    """A tensor of an adapter's file, for a `Change` to read."""

    file: SourceFile
    tensor: StoredTensor

    @property
    def shape(self) -> Shape:
        """Its shape, row-major."""
        return self.tensor.info.shape

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows of it; see `Checkpoint.rows`."""
        return plain_rows(self.file, self.tensor.offset, self.tensor.info, start, stop)


@dataclass(frozen=True, slots=True)
class LowRank:
    """What an adapter adds to one weight: scale * B A."""

    a: Reader
    """(rank, in); of an embedding (rank, vocabulary)."""
    b: Reader
    """(out, rank)."""
    scale: float
    magnitude: Reader | None = None
    """DoRA: the length that each row of the sum is brought to, (out,)."""
    embedding: bool = False

    @property
    def rank(self) -> int:
        """Columns of B and rows of A."""
        return self.a.shape[0]

    def is_transposed(self, name: str, stored: Shape, fan_in_fan_out: bool) -> bool:
        """Whether the weight called `name` is stored as (in, out), as GPT-2's are.

        The shapes tell; only of square matrices the adapter's config does. Embeddings multiply
        from the other side, so theirs always are.

        Raises:
            BadModelFile: The adapter is for a weight of another shape.
        """
        shape = self.b.shape[0], self.a.shape[1]
        fits = [
            turned for turned in (False, True) if _fits(shape[::-1] if turned else shape, stored)
        ]
        wanted = self.embedding or fan_in_fan_out
        if not fits or (self.embedding and True not in fits):
            raise BadModelFile(
                f"The adapter is for a weight {shown(name)} of shape {list(shape)}; the model's "
                f"has {list(stored)}.",
                "It belongs to another model. Choose the one that it was made from.",
            )
        return wanted if wanted in fits else fits[0]


class Adapter:
    """A PEFT folder, opened: headers only."""

    def __init__(self, folder: Path) -> None:
        """Read the config and the header.

        Args:
            folder: The folder, or one of its files.

        Raises:
            BadModelFile: A file is missing or damaged.
            Unsupported: It is an adapter of a kind that is not read.
        """
        if not folder.exists():
            raise BadModelFile(
                f"There is nothing at {shown(str(folder))}.", "Check the spelling of the folder."
            )
        self.path = folder if folder.is_dir() else folder.parent
        if not (self.path / CONFIG).exists():
            raise BadModelFile(f"{self.path.name} holds no adapter: it has no {CONFIG}.", _AGAIN)
        self.config: Mapping[str, Any] = read_json(self.path / CONFIG)
        _check_kind(self.config)
        self.files = [self.path / CONFIG, self.path / WEIGHTS]
        self.fan_in_fan_out = flag(self.config, "fan_in_fan_out", False, file=CONFIG)
        self.changes: dict[str, LowRank] = {}
        """By the weight's name."""
        self.replaced: dict[str, StoredFactor] = {}
        """Tensors that take the place of the model's, by name."""
        self._read(_weights(self.path))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    @property
    def base(self) -> str:
        """The model that it was made from, as its config calls it; "" where it does not."""
        return text(self.config, "base_model_name_or_path", "", file=CONFIG)

    @property
    def invocation(self) -> tuple[int, ...]:
        """Tokens that switch the adapter on (aLoRA); without any it is always on."""
        tokens = self.config.get("alora_invocation_tokens") or ()
        if not isinstance(tokens, list | tuple) or any(type(token) is not int for token in tokens):
            raise BadModelFile(f"{CONFIG}: alora_invocation_tokens is no list of tokens.", _AGAIN)
        return tuple(tokens)

    def of(self, architecture: Architecture, config: Config) -> dict[str, str]:
        """The adapter's names of weights by those that the family uses.

        Raises:
            Unsupported: It changes parts of the model beside the one that writes.
        """
        names = [*self.changes, *self.replaced]
        found = architecture.stored_names(names, config)
        beside = set(names) - set(found.values())
        if beside:
            raise Unsupported(
                f"The adapter {shown(self.name)} changes parts of the model that are not text: "
                f"{shown(min(beside))}{' and more' if len(beside) > 1 else ''}.",
                "Choose an adapter for the part that writes.",
                "\n".join(sorted(beside)[:100]),
            )
        return found

    def _read(self, stored: Mapping[str, StoredFactor]) -> None:
        factors: dict[str, dict[str, StoredFactor]] = {}
        embeddings = set()
        for name, factor in stored.items():
            plain = name.removeprefix("base_model.model.")
            match = _FACTOR.fullmatch(plain)
            if match is None:
                self.replaced[_WHOLE.sub("", plain)] = factor
                continue
            side = match["side"] or match["embedded"] or "magnitude"
            factors.setdefault(match["module"], {})[side] = factor
            if match["embedded"]:
                embeddings.add(match["module"])
        for module, sides in factors.items():
            self.changes[f"{module}.weight"] = self._low_rank(module, sides, module in embeddings)
        if not self.changes:
            raise BadModelFile(f"{WEIGHTS} holds no LoRA matrices.", _AGAIN)

    def _low_rank(self, module: str, sides: Mapping[str, StoredFactor], embedding: bool) -> LowRank:
        a, b = sides.get("A"), sides.get("B")
        if a is None or b is None:
            missing = "A" if a is None else "B"
            raise BadModelFile(f"The adapter has no matrix {missing} for {shown(module)}.", _AGAIN)
        if len(a.shape) != 2 or len(b.shape) != 2 or not a.shape[0] == b.shape[1] > 0:
            raise BadModelFile(
                f"The adapter's matrices for {shown(module)} do not fit each other: "
                f"{list(b.shape)} times {list(a.shape)}.",
                _AGAIN,
            )
        magnitude = sides.get("magnitude")
        if magnitude is not None and prod(magnitude.shape) != b.shape[0]:
            raise BadModelFile(f"The adapter's lengths for {shown(module)} are too few.", _AGAIN)
        return LowRank(a, b, self._scale(module, a.shape[0]), magnitude, embedding)

    def _scale(self, module: str, rank: int) -> float:
        alpha = number(self.config, "lora_alpha", 8.0, file=CONFIG)  # as PEFT
        patterns = section(self.config, "alpha_pattern", {}, file=CONFIG)
        for pattern in patterns:
            if _is_end(pattern, module):
                alpha = number(patterns, pattern, file=CONFIG)
                break
        stabilised = flag(self.config, "use_rslora", False, file=CONFIG)
        return alpha / (sqrt(rank) if stabilised else rank)


def describe_base(place: Path) -> Description:
    """The model that an adapter is for; its config alone is enough.

    Args:
        place: Its folder, or its config.json.

    Raises:
        BadModelFile: It is damaged.
        Unsupported: It is of no known family.
    """
    folder = place if place.is_dir() else place.parent
    if place.is_dir() and any(folder.glob("*.safetensors")):
        return describe_folder(plain(open_model(folder)))
    described = read_json(folder / "config.json" if place.is_dir() else place)
    architecture = find_architecture(described)
    config = text_part(described)
    return Description(
        architecture,
        config,
        architecture.dimensions(config),
        architecture.is_tied(config),
        tuple(architecture.weights(config, ())),
    )


def _fits(shape: Shape, stored: Shape) -> bool:
    """Whether a weight has a shape; -1 stands for any size."""
    return len(stored) == len(shape) and all(
        wanted in {found, -1} for found, wanted in zip(shape, stored, strict=True)
    )


def _check_kind(config: Mapping[str, Any]) -> None:
    """Refuse what cannot be told from matrices alone.

    Raises:
        Unsupported: It is no LoRA, or one for a model that was changed in other ways, too.
    """
    kind = text(config, "peft_type", "LORA", file=CONFIG)
    if kind.upper() != "LORA":
        raise Unsupported(
            f"This is an adapter of the kind {shown(kind)}.", "Only LoRA adapters are supported."
        )
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(_CHANGED_BASE):
        raise Unsupported(
            f"This adapter began with {shown(start)}, which changes the base model, too.",
            "Merge it into its base model with PEFT, and convert the merged model.",
        )
    for field, what in (
        ("layer_replication", "repeats layers of the model"),
        ("megatron_config", "is made for Megatron"),
        ("lora_bias", "has biases of its own"),
        ("target_parameters", "changes stacks of experts as one"),
        ("use_qalora", "adds to groups of columns (QA-LoRA)"),
        ("use_bdlora", "has matrices of blocks (BD-LoRA)"),
        ("kasa_config", "changes singular values, too (KaSA)"),
        ("arrow_config", "chooses among several adapters (Arrow)"),
        ("monteclora_config", "draws its numbers at random (MonteCLoRA)"),
    ):
        if config.get(field):
            raise Unsupported(
                f"This adapter {what}, which is not supported.",
                "Merge it into its base model with PEFT, and convert the merged model.",
            )


def _is_end(pattern: str, module: str) -> bool:
    """Whether a key of "alpha_pattern" names this module: its last parts, or all of it.

    Raises:
        Unsupported: The key is a regular expression.
    """
    plain = pattern.removeprefix("^").removesuffix("$").replace(r"\.", ".")
    if not re.fullmatch(r"[\w.\-]+", plain):
        raise Unsupported(
            f"{CONFIG} chooses modules by a pattern: {shown(pattern)}.",
            "Merge the adapter into its base model with PEFT, and convert the merged model.",
        )
    if pattern.startswith("^"):
        return module == plain
    return f".{module}".endswith(f".{plain}")


def _weights(folder: Path) -> dict[str, StoredFactor]:
    path = folder / WEIGHTS
    if not path.exists():
        if (folder / "adapter_model.bin").exists():
            raise Unsupported(
                "This adapter is in PyTorch's old format, which can run hidden programs.",
                f"Look for a version with {WEIGHTS}.",
            )
        raise BadModelFile(f"{folder.name} has no {WEIGHTS}.", _AGAIN)
    file = SourceFile.look(path)
    tensors = read_safetensors_header(file).tensors
    return {name: StoredFactor(file, tensor) for name, tensor in tensors.items()}
