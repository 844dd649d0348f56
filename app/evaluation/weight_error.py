"""How far each weight of one model is from the same weight of another, whatever their files."""

from __future__ import annotations

from collections.abc import Generator

from app.core.errors import Unsupported
from app.core.events import Progress
from app.core.report import TensorResult
from app.models.named_weights import NamedWeights


def compare_weights(
    source: NamedWeights, result: NamedWeights
) -> Generator[Progress, None, tuple[TensorResult, ...]]:
    """Compare under Hugging Face's names. Memory: three times the largest tensor, in float32.

    Raises:
        Unsupported: They are not two forms of the same model.
    """
    names = [name for name in source.names if name in set(result.names)]
    rows: list[TensorResult] = []
    for index, name in enumerate(names):
        yield Progress("verify", index, len(names), name, index / len(names))
        rows.append(_compare(name, source, result))
    if not rows:
        raise Unsupported(
            "These two have no tensor in common.",
            "Choose a model and a file that was made from it.",
        )
    return tuple(rows)


def _compare(name: str, source: NamedWeights, result: NamedWeights) -> TensorResult:
    before, after = source.weight(name), result.weight(name)
    if before.shape != after.shape:
        raise Unsupported(
            f"These are not two forms of the same model: {name} has another shape.",
            "Choose a model and a file that was made from it.",
            f"{tuple(before.shape)} and {tuple(after.shape)}",
        )
    error, norm = after.sub_(before), float(before.norm())
    size = float(error.norm())
    stored_before, stored_after = source.info(name), result.info(name)
    return TensorResult(
        name=name,
        encoding=stored_after.dtype,
        shape=tuple(before.shape),
        before=stored_before.nbytes,
        after=stored_after.nbytes,
        error=size / norm if norm else float(size > 0),
        max_error=float(error.abs().max()),
    )
