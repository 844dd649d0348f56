"""From a GGUF file to another one, of any architecture: names, shapes and metadata are enough."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from typing_extensions import override

from app.core.errors import Unsupported
from app.core.plan import ImportanceFacts, Plan, PlannedTensor
from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.formats.gguf.choice import is_quantizable
from app.formats.gguf.conversion import GgufConversion, Target
from app.formats.gguf.metadata import kept_metadata
from app.models.gguf_file import GgufFile

if TYPE_CHECKING:
    from torch import Tensor

_FLOATS = {"F32", "F16", "BF16"}
_ENOUGH_BITS = _FLOATS | {"Q8_0"}


class RequantizeConversion(GgufConversion):
    """Keeps names, shapes and metadata, and encodes the matrices anew."""

    def __init__(self, checkpoint: GgufFile) -> None:
        """Look at the header.

        Raises:
            Unsupported: It is no language model, or has numbers that cannot be read.
        """
        metadata = checkpoint.header.metadata
        _refuse_other_kinds(checkpoint)
        _refuse_unknown_numbers({info.dtype for info in checkpoint.tensors.values()})
        self._file = checkpoint
        super().__init__(
            checkpoint,
            [
                Target(name, info.shape, (name,), kept=info.dtype)
                for name, info in checkpoint.tensors.items()
            ],
            kept_metadata(metadata),
            (),
        )
        architecture = str(checkpoint.header.get("general.architecture", ""))
        self._dtypes = {
            info.dtype
            for info in checkpoint.tensors.values()
            if is_quantizable(info.name, info.shape, architecture)
        }

    @override
    def plan(self, recipe: Recipe, importance: ImportanceFacts | None = None) -> Plan:
        few = ", ".join(sorted(self._dtypes - _ENOUGH_BITS))
        if few and not recipe.requantize:
            raise Unsupported(
                f"This file is already quantized ({few}).",
                "Quantizing it again would lose accuracy twice. Choose the original model, or a "
                "GGUF file in BF16, F16 or Q8_0.",
            )
        plan = super().plan(recipe, importance)
        return replace(plan, notes=(*self._source_notes(few), *plan.notes))

    @override
    def stored(self, tensor: PlannedTensor, start: int, stop: int) -> Tensor | None:
        (name,) = tensor.sources
        if tensor.encoding in _FLOATS or self._file.tensors[name].dtype != tensor.encoding:
            return None  # numbers are looked at on their way, so that damage is noticed
        return self._file.stored(name, start, stop)

    def _source_notes(self, few: str) -> tuple[str, ...]:
        if few:
            text = f"The file is quantized already ({few}), so accuracy is lost twice."
        elif "Q8_0" in self._dtypes:
            text = "The file is in Q8_0 already: starting from the original would be a little "
            text += "more exact."
        else:
            return ()
        return (text,)


def _refuse_other_kinds(checkpoint: GgufFile) -> None:
    """Adapters and matrices of importance are GGUF files too, and nothing to quantize."""
    kind = checkpoint.header.get("general.type", "model")
    if kind not in {"model", "mmproj"}:
        raise Unsupported(
            f"{checkpoint.path.name} holds no model but something of the type {kind!r}.",
            "Choose the model's own file.",
        )


def _refuse_unknown_numbers(dtypes: set[str]) -> None:
    odd = sorted(dtypes - ENCODINGS.keys())
    if odd:
        raise Unsupported(
            f"This file has numbers of the kind {', '.join(odd)}, which cannot be handled yet.",
            "Choose the original model.",
        )
