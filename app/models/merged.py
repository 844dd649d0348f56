"""A model with adapters merged into it, computed row by row as it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from app.core.errors import BadModelFile, Unsupported
from app.core.tensor import TensorInfo
from app.models.adapter import Adapter, LowRank, StoredFactor
from app.models.architectures.changes import whole
from app.models.base import Checkpoint
from app.models.description import Description, describe_folder
from app.models.quantized import plain
from app.models.source_file import shown

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDING = "token_embd.weight"


@dataclass(frozen=True, slots=True)
class Addition:
    """A low-rank change of a weight as it is stored: left @ right is added to it."""

    change: LowRank
    strength: float
    """How much of the adapter is wanted; 1: all."""
    transposed: bool
    """Whether the weight is stored as (in, out)."""

    def added_to(self, stored: Tensor, start: int, stop: int) -> Tensor:
        """Rows `start` to `stop` of the changed weight, float32; `stored` are its own."""
        change = self.change
        factor = change.scale * self.strength
        if self.transposed:
            left = whole(change.a)[:, start:stop].t()
            return stored.float().addmm(left, whole(change.b).t(), alpha=factor)
        left = change.b.rows(start, stop).float()
        found = stored.float().addmm(left, whole(change.a), alpha=factor)
        if change.magnitude is None:
            return found
        lengths = whole(change.magnitude).flatten()[start:stop, None]
        changed: Tensor = found * (lengths / found.norm(dim=1, keepdim=True))
        return changed


class Merged(Checkpoint):
    """Names and shapes of the base model; the numbers are those of the tuned one."""

    kind: ClassVar[str] = "safetensors"

    def __init__(self, base: Checkpoint, adapters: Sequence[tuple[Adapter, float]]) -> None:
        """Find the weight that every part of every adapter belongs to.

        Raises:
            BadModelFile: An adapter belongs to another model.
            Unsupported: The base is of no known family, or an adapter cannot be merged.
        """
        self._base = base
        self._names = tuple(shown(adapter.name) for adapter, _ in adapters)
        self.path: Path = base.path
        self.files: Sequence[Path] = [
            *base.files,
            *(file for adapter, _ in adapters for file in adapter.files),
        ]
        self.config: Mapping[str, Any] = base.config
        self._additions: dict[str, list[Addition]] = {}
        self._replaced: dict[str, StoredFactor] = {}
        description = describe_folder(base)
        for adapter, strength in adapters:
            self._take(adapter, strength, description)
        self.tensors: dict[str, TensorInfo] = {
            name: replace(info, dtype=self._dtype(info)) for name, info in base.tensors.items()
        }

    @property
    @override
    def stored_as(self) -> str:
        return self._base.stored_as

    @property
    @override
    def nbytes(self) -> int:
        return self._base.nbytes

    @property
    @override
    def notes(self) -> tuple[str, ...]:
        merged = f"Merged into the model: {', '.join(self._names)}."
        return (*self._base.notes, merged)

    @override
    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        stop = prod(self.tensors[name].shape[:-1]) if stop is None else stop
        found = self._base.rows(name, start, stop)
        if name in self._replaced:
            found = self._replaced[name].rows(start, stop)
        for addition in self._additions.get(name, ()):
            found = addition.added_to(found, start, stop)
        return found

    def _dtype(self, info: TensorInfo) -> str:
        if info.name in self._additions:
            return "F32"  # sums are not rounded
        replaced = self._replaced.get(info.name)
        return replaced.tensor.info.dtype if replaced else info.dtype

    def _take(self, adapter: Adapter, strength: float, description: Description) -> None:
        if adapter.invocation:
            raise Unsupported(
                f"The adapter {shown(adapter.name)} is on only behind certain words.",
                "It cannot be merged; convert it into an adapter of its own instead.",
            )
        names = adapter.of(description.architecture, description.config)
        check_embedding(adapter, names, description)
        for plain_name, name in names.items():
            stored = description.stored.get(plain_name)
            if stored is None:
                raise not_in_model(adapter, name)
            if name in adapter.replaced:
                self._replace(adapter, name, stored, strength)
            if name in adapter.changes:
                self._add(adapter, name, stored, strength)

    def _add(self, adapter: Adapter, name: str, stored: str, strength: float) -> None:
        change = adapter.changes[name]
        shape = self._base.tensors[stored].shape
        turned = change.is_transposed(name, shape, adapter.fan_in_fan_out)
        if change.magnitude is not None and turned:
            raise Unsupported(
                f"The adapter {shown(adapter.name)} scales columns of {shown(name)} (DoRA).",
                "Merge it into its base model with PEFT, and convert the merged model.",
            )
        self._additions.setdefault(stored, []).append(Addition(change, strength, turned))

    def _replace(self, adapter: Adapter, name: str, stored: str, strength: float) -> None:
        found, wanted = adapter.replaced[name], self._base.tensors[stored].shape
        if found.shape != wanted:
            raise Unsupported(
                f"The adapter {shown(adapter.name)} brings a {shown(name)} of another size: "
                f"{list(found.shape)} instead of {list(wanted)}.",
                "It adds tokens. Merge it into its base model with PEFT first.",
            )
        if strength != 1 or stored in self._replaced:
            raise Unsupported(
                f"The adapter {shown(adapter.name)} replaces {shown(name)} as a whole.",
                "It can only be merged alone and at full strength.",
            )
        self._replaced[stored] = found


def with_adapters(checkpoint: Checkpoint, adapters: Sequence[tuple[Path, float]]) -> Checkpoint:
    """The model that `checkpoint` becomes with adapters merged into it, in their order.

    Args:
        checkpoint: A model folder.
        adapters: PEFT folders, each with how much of it is wanted; 1 is all.

    Raises:
        BadModelFile: An adapter is damaged, or belongs to another model.
        Unsupported: The model or an adapter is of a kind that cannot be merged.
    """
    if not adapters:
        return checkpoint
    if checkpoint.kind != "safetensors":
        raise Unsupported(
            "Adapters cannot be merged into a GGUF file.",
            "Start from the original folder with .safetensors files instead.",
        )
    return Merged(plain(checkpoint), [(Adapter(path), strength) for path, strength in adapters])


def check_embedding(adapter: Adapter, names: Mapping[str, str], description: Description) -> None:
    """Refuse to change one of two layers that share a matrix.

    Args:
        adapter: What changes it.
        names: Its names by the family's.
        description: The model.

    Raises:
        Unsupported: It would change the other one, too.
    """
    if not description.tied:
        return
    both = {"lm_head.weight"}
    for weight in description.weights:
        if weight.gguf == EMBEDDING:
            both |= {source.name for source in weight.sources}
    shared = [name for plain_name, name in names.items() if plain_name in both]
    if shared:
        raise Unsupported(
            f"The adapter {shown(adapter.name)} changes {shown(shared[0])}, which the model uses "
            "both as its embedding and as its output layer.",
            "Choose an adapter that leaves it as it is.",
        )


def not_in_model(adapter: Adapter, name: str) -> BadModelFile:
    """An error to raise where an adapter changes a weight that there is not."""
    return BadModelFile(
        f"The adapter {shown(adapter.name)} changes {shown(name)}, which the model does not have.",
        "It belongs to another model. Choose the one that it was made from.",
    )
