"""What is known of a model before any of its weights is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be done, in words for the user."""

    title: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model at a glance."""

    path: str
    name: str
    kind: str
    """"safetensors" or "gguf"."""
    architecture: str
    """Its family's name in the field: "Llama", "Qwen3"."""
    weights: int
    nbytes: int
    """Bytes of its tensors."""
    dtype: str
    """The dtype or encoding that holds most of its bytes."""
    context: int = 0
    """Longest context it was made for, in tokens; 0 when unknown."""
    layers: int = 0
    hidden: int = 0
    vocabulary: int = 0


@dataclass(frozen=True, slots=True)
class Fallback:
    """A tensor whose rows do not divide by the block that the recipe wants."""

    tensor: str
    wanted: str
    encoding: str
    extra_bytes: int
    """How much larger it becomes."""


@dataclass(frozen=True, slots=True)
class FormatChoice:
    """One preset applied to one model: a row in the list of qualities."""

    preset: str
    format: str
    """Name of the file format: "gguf"."""
    runs_in: str
    """Programs that load the result."""
    extension: str
    """".gguf", or "" for a folder."""
    summary: str
    """One plain sentence."""
    quality: str
    """A few words: "small loss"."""
    recommended: bool
    nbytes: int = 0
    """Exact size of the result."""
    bits_per_weight: float = 0.0
    fallbacks: tuple[Fallback, ...] = ()
    notes: tuple[str, ...] = ()
    problem: Problem | None = None
    """Why this model cannot have this format; sizes are then 0."""
    group: str = ""
    """Size class that lists show it under."""
    importance_helps: bool = False
    """Whether an importance matrix makes the result better."""
    needs_importance: bool = False
    """Whether the result is of no use without one; sizes are those with one."""
    requantize: bool = False
    """Whether the model is quantized already, so that accuracy is lost twice."""
    featured: bool = False
    """Whether a short list shows it for its size class."""
    loss: float | None = None
    """What it costs a small model: KL divergence in nats; None where nobody has measured it."""
    loss_with_importance: float | None = None
    """The same with an importance matrix, where that is a choice."""
    runtimes: tuple[str, ...] = ()
    """The kinds of programs that load it, by `core.runtime.Runtime`."""
    method: str = "nearest"
    """What chooses its numbers where nothing else is chosen."""
    methods: tuple[str, ...] = ("nearest",)
    """What can choose them."""
    is_shown_text: bool = False
    """Whether it stores ranges of inputs, which the model has to be seen at work for."""


@dataclass(frozen=True, slots=True)
class OptionFacts:
    """One option of a method, as a form shows it. Values are texts."""

    name: str
    sentence: str
    """What it does."""
    kind: str
    """"switch", "whole", "number", or "numbers" with commas between them."""
    default: str
    optional: bool = False
    """Whether "auto" leaves it to the method."""
    least: float | None = None
    most: float | None = None
    values: str = ""
    """What may be written, in words."""


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """A way of choosing the numbers of a result."""

    name: str
    """As recipes say it: "gptq", "awq+gptq"."""
    summary: str
    """One plain sentence."""
    is_calibrated: bool
    """Whether it has to see the model at work first."""
    options: tuple[OptionFacts, ...] = ()


@dataclass(frozen=True, slots=True)
class Inspection:
    """A model and everything that can be made of it."""

    model: ModelFacts
    choices: tuple[FormatChoice, ...]
    types: tuple[str, ...] = ()
    """Encodings that a single tensor can be given, the largest first."""
    methods: tuple[MethodFacts, ...] = ()
    """All that `FormatChoice.methods` names."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the border between processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Inspection:
        """Inverse of `to_json`.

        Raises:
            ValueError: The fields are not those of an inspection.
        """
        try:
            choices = tuple(_choice(row) for row in fields["choices"])
            methods = tuple(_method(row) for row in fields.get("methods", ()))
            types = tuple(fields.get("types", ()))
            return cls(ModelFacts(**fields["model"]), choices, types, methods)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not an inspection") from error


def _method(row: Mapping[str, Any]) -> MethodFacts:
    options = tuple(OptionFacts(**option) for option in row["options"])
    return MethodFacts(**{**row, "options": options})


def _choice(row: Mapping[str, Any]) -> FormatChoice:
    problem = row["problem"]
    lists = {key: tuple(row[key]) for key in ("runtimes", "methods") if key in row}
    return FormatChoice(
        **{
            **row,
            "fallbacks": tuple(Fallback(**item) for item in row["fallbacks"]),
            "notes": tuple(row["notes"]),
            "problem": Problem(**problem) if problem else None,
            **lists,
        }
    )
