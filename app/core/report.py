"""The result of a job in numbers: what was gained, what was lost, how it was made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from app.core.errors import BadModelFile
from app.core.files import write_atomic
from app.core.recipe import Recipe

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class TensorResult:
    """One tensor of the result against its source."""

    name: str
    encoding: str
    shape: tuple[int, ...]
    before: int
    """Bytes in the source."""
    after: int
    """Bytes in the result."""
    error: float
    """||W - Q(W)|| / ||W||, Frobenius norm, of the file as read back."""
    max_error: float
    """Largest |w - Q(w)|."""
    wanted: str = ""
    """The recipe's encoding, where the tensor could not have it."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Both models on the same text. Natural logarithms, next-token distributions."""

    tokens: int
    """Predicted positions."""
    context: int
    """Tokens a window."""
    text: str
    """Which text was read."""
    perplexity_before: float
    perplexity_after: float
    kl_mean: float
    """Mean of KL(source || result) over the positions, in nats."""
    kl_p99: float
    """99th percentile of the same."""
    same_top: float
    """Share of positions where both models put the same token first, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Greedy continuations of one prompt by both models."""

    prompt: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything there is to say about a finished job."""

    model: str
    """Name of the model."""
    architecture: str
    preset: str
    source: str
    """Path of the checkpoint."""
    target: str
    """Path of the result."""
    bytes_before: int
    """Bytes of the source's tensors."""
    bytes_after: int
    """Size of the result file."""
    weights: int
    bits_per_weight: float
    seconds: float
    """Wall time of the quantization, summed over interrupted runs is unknown: the last run's."""
    created: str
    """ISO 8601 time, UTC."""
    tensors: tuple[TensorResult, ...] = ()
    quality: Quality | None = None
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    runs_in: str = ""
    """Programs that load the result, as its format names them; "" in older reports."""
    schema: int = SCHEMA

    @property
    def choices(self) -> dict[str, str]:
        """The recipe in words, without what was left as it usually is."""
        usual = {one.name: one.default for one in fields(Recipe) if one.name != "method"}
        return {
            name.replace("_", " "): _in_words(value)
            for name, value in self.recipe.items()
            if value and value != usual.get(name)
        }

    def save(self, path: Path) -> None:
        """Write to `path`, complete or not at all."""
        write_atomic(path, json.dumps(asdict(self), ensure_ascii=False, indent=1).encode())


def _in_words(value: Any) -> str:
    """Pairs as "damping=0.05", several of them with commas."""
    if not isinstance(value, list | tuple):
        return "yes" if value is True else str(value)
    pairs = (one if isinstance(one, list | tuple) else (one,) for one in value)
    return ", ".join("=".join(map(str, pair)) for pair in pairs)


def load_report(path: Path) -> Report:
    """Read what `Report.save` wrote.

    Raises:
        BadModelFile: The file is missing or is not a report.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        tensors = tuple(
            TensorResult(**{**row, "shape": tuple(row["shape"])}) for row in fields.pop("tensors")
        )
        quality = fields.pop("quality")
        samples = tuple(Sample(**row) for row in fields.pop("samples"))
        return Report(
            tensors=tensors,
            quality=Quality(**quality) if quality else None,
            samples=samples,
            notes=tuple(fields.pop("notes")),
            **fields,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadModelFile(
            "This report cannot be read.",
            "Run the job again to make a new one.",
            f"{path}: {error!r}",
        ) from error
