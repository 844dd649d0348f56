"""The contract every format keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from app.core.errors import Unsupported
from app.core.plan import ImportanceFacts, Plan, PlannedTensor
from app.core.recipe import ALL_VALUES, AUTOMATIC, Recipe
from app.core.runtime import Runtime, runtimes_in
from app.encodings import find_encoding
from app.encodings.base import Encoding
from app.models.base import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

Ranges = Mapping[str, Mapping[int, float]]
"""The largest |x| of a matrix's inputs, by its tensor's name in the source and its place in it."""
_LEAST_PERCENTILE = 90.0
"""Less would cut off values that everything depends on."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named recipe, as a person chooses it."""

    name: str
    base: str
    """Encoding of the tensors that have no rule of their own."""
    summary: str
    """One plain sentence for the list of qualities."""
    quality: str
    """A few words: "small loss"."""
    recommended: bool = False
    group: str = ""
    """The size class that lists show it under: "very small"."""
    importance_helps: bool = False
    """Whether an importance matrix makes the result better."""
    needs_importance: bool = False
    """Whether the result is of no use without one."""
    featured: bool = False
    """Whether short lists show it for its size class."""
    runs_in: str = ""
    """Programs that load it, where they are not those of the whole format."""
    method: str = "nearest"
    """Name of the method that chooses its numbers."""
    rounds_inputs: bool = False
    """Whether programs also round what its weights are multiplied with."""

    def recipe(self) -> Recipe:
        """What a person gets who chooses this and nothing else."""
        importance = AUTOMATIC if self.needs_importance else ""
        return Recipe(self.name, self.method, importance=importance)


class Conversion(ABC):
    """One checkpoint on its way into one format. Making it reads config and tokenizer only."""

    @abstractmethod
    def plan(self, recipe: Recipe, importance: ImportanceFacts | None = None) -> Plan:
        """Type, size and place of every tensor; arithmetic only.

        Args:
            recipe: What is wanted. Whether it uses an importance matrix decides about types.
            importance: What the result says about that matrix; None where it is not there yet,
                and the result is planned to know its size.

        Raises:
            Unsupported: The recipe cannot be applied to this model, or has to use an importance
                matrix and does not.
        """

    @abstractmethod
    def rows(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the result's tensor, float32, on the host.

        Rows are counted over all dimensions but the last, flattened. `start` is a multiple of
        `row_step`, and `stop` is one too or the end.
        """

    def stored(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor | None:  # noqa: ARG002
        """The same rows as the source stores them, where it has the result's own encoding.

        Returns:
            uint8, (rows, bytes of a row), to be written unchanged; None: `rows` must be encoded.
        """
        return None

    def encoding(self, tensor: PlannedTensor) -> Encoding:
        """What stores a planned tensor, told what it has to know of other tensors."""
        return find_encoding(tensor.encoding)

    @property
    def learned(self) -> str:
        """Differs where what was learned does."""
        return ""

    def learn(self, ranges: Ranges) -> None:  # noqa: B027 - most plans do not ask
        """Take what plans ask for."""

    @abstractmethod
    def source_bytes(self, tensor: PlannedTensor) -> int:
        """Bytes that the tensor takes in the source; 0 when it is computed."""

    def row_step(self, tensor: PlannedTensor) -> int:  # noqa: ARG002 - most tensors do not care
        """Rows that must be read together, because they change places among themselves."""
        return 1


def plan_preset(conversion: Conversion, preset: Preset) -> tuple[Recipe, Plan]:
    """What a preset makes of a source, and the recipe for that.

    A source that is quantized already is taken; the recipe and the plan's notes say so.

    Raises:
        Unsupported: The preset cannot be applied to this source at all.
    """
    recipe = preset.recipe()
    try:
        return recipe, conversion.plan(recipe)
    except Unsupported:
        recipe = replace(recipe, requantize=True)
        return recipe, conversion.plan(recipe)


def check_percentile(recipe: Recipe, *, has_ranges: bool) -> None:
    """Refuse a percentile that means nothing.

    Raises:
        Unsupported: It is no share, or the result stores no ranges.
    """
    if recipe.percentile == ALL_VALUES:
        return
    if not has_ranges:
        raise Unsupported(
            f"{recipe.preset} stores no ranges of inputs, of which a percentile could be chosen.",
            "Leave that option out, or choose a format that does, such as w8a8-int8-static.",
        )
    if not _LEAST_PERCENTILE <= recipe.percentile < ALL_VALUES:
        raise Unsupported(
            f"A range cannot hold {recipe.percentile:g} % of the inputs.",
            f"Choose from {_LEAST_PERCENTILE:g} to {ALL_VALUES:g}; 99.99 is usual.",
        )


class Format(ABC):
    """A file or folder convention, and the presets it offers."""

    name: ClassVar[str]
    runs_in: ClassVar[str]
    """Programs that load it, for the user."""
    extension: ClassVar[str]
    """".gguf"; empty for a folder."""
    presets: ClassVar[Sequence[Preset]]

    def programs(self, preset: Preset) -> str:
        """Those that load one of its presets, for the user."""
        return preset.runs_in or self.runs_in

    def runtimes(self, preset: Preset) -> tuple[Runtime, ...]:
        """The kinds of those programs."""
        return runtimes_in(self.programs(preset))

    @abstractmethod
    def holds(self, encoding: Encoding) -> bool:
        """Whether this format can store `encoding`."""

    @abstractmethod
    def prepare(self, checkpoint: Checkpoint) -> Conversion:
        """Look at a checkpoint's config and tokenizer.

        Raises:
            Unsupported: This format cannot hold such a model.
            BadModelFile: The config or the tokenizer is damaged.
        """

    @abstractmethod
    def open(self, path: Path, parts: Sequence[Path] = ()) -> Checkpoint:
        """Read a result back from disk.

        Args:
            path: The first of its files.
            parts: All of its files, while they do not have their names yet.

        Raises:
            BadModelFile: It is not a file of this format.
        """

    def open_unfinished(self, plan: Plan, paths: Sequence[Path], source: Checkpoint) -> Checkpoint:  # noqa: ARG002 - a file's header tells enough
        """Read a result of which only some tensors have been written.

        Args:
            plan: The result.
            paths: All of its files.
            source: What it is made from.
        """
        return self.open(paths[0], paths)
