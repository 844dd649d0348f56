"""Are files made with our importance matrix as good as with llama.cpp's? Used by recipes.py.

llama-imatrix adds up the squares of what the real llama.cpp multiplies each weight with.
`llama_matrix` does just that, by the same callback; so it stands for the program here, which no
package for this system has. Both matrices come from the same windows of text.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import llama_matrix
import numpy as np
import torch
from losses import ON_CPU, Reference, ended, standard_error
from tiny_models import write

from app.calibration.chats import ChatTemplate
from app.calibration.importance import ImportanceOptions, importance_of
from app.calibration.text import DEFAULT_CHUNKS, calibration_text, cut_calibration_windows
from app.core.recipe import AUTOMATIC, Recipe
from app.evaluation.text import window_length
from app.evaluation.tokenizer import open_tokenizer
from app.formats.gguf.imatrix import ImportanceMatrix, Squares

PRESETS = ("Q4_K_M", "IQ3_XXS", "IQ2_XS")
AT_ONCE = 4
"""Windows that llama.cpp reads in one process."""


@dataclass(frozen=True, slots=True)
class Matched:
    """One format made with either matrix."""

    preset: str
    ours: float
    """Mean KL(source || result) with our matrix."""
    theirs: float
    """With llama.cpp's."""
    noise: float
    """Standard error of the difference of the two."""


def matched(reference: Reference) -> tuple[float, list[Matched]]:
    """How far the matrices are apart at most, relative to a tensor's largest sum; and the files."""
    ours = ended(importance_of(reference.checkpoint, ImportanceOptions(), ON_CPU))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        theirs = of_llama_cpp(reference, Path(name))
        for preset in PRESETS:
            recipe = Recipe(preset, importance=AUTOMATIC)
            first, with_ours = reference.loss(recipe, Path(name), ours)
            second, with_theirs = reference.loss(recipe, Path(name), theirs)
            noise = standard_error(with_ours.kl - with_theirs.kl)
            rows.append(Matched(preset, first.kl, second.kl, noise))
    return apart(ours, theirs), rows


def apart(ours: ImportanceMatrix, theirs: ImportanceMatrix) -> float:
    """The largest difference of two sums, relative to the largest sum of its tensor."""
    assert ours.tensors.keys() <= theirs.tensors.keys()
    differences = []
    for name, squares in ours.tensors.items():
        other = theirs.tensors[name]
        assert squares.counts.equal(other.counts), name
        differences.append(float((squares.sums - other.sums).abs().max() / other.sums.max()))
    return max(differences)


def of_llama_cpp(reference: Reference, folder: Path) -> ImportanceMatrix:
    """The matrix that llama-imatrix would write for the text and the windows of our default."""
    windows = cut_calibration_windows(
        open_tokenizer(reference.checkpoint),
        calibration_text(),
        chunks=DEFAULT_CHUNKS,
        length=window_length(reference.source.config),
        template=ChatTemplate.of(reference.checkpoint),
    )
    model = folder / "model.gguf"
    write(reference.conversion, reference.conversion.plan(Recipe("F32")), model)
    sums: dict[str, np.ndarray] = {}
    counts: dict[str, np.ndarray] = {}
    for some in windows.tokens.split(AT_ONCE):
        for name, (more, tokens) in llama_matrix.squares(model, some.tolist()).items():
            sums[name] = sums.get(name, 0) + more
            counts[name] = counts.get(name, 0) + tokens
    model.unlink()
    squares = {
        name: Squares(torch.tensor(sums[name]).float(), torch.tensor(counts[name]).float())
        for name in sums
    }
    return ImportanceMatrix(squares, (windows.text,), *windows.tokens.shape)
