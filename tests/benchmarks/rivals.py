"""Write docs/rivals.md: Nibble's calibrated methods beside those of other libraries.

    python tests/benchmarks/rivals.py [--only [NAME ...]]

All are shown the same tokens, and one judge reads what they have written. Everything that was
measured is kept in tests/benchmarks/rivals.json; with --only, just the results named are measured
anew, and without any name just the page is. The libraries run in environments of their own: see
tests/runtimes/install.py. Takes about two hours of two processors.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "runtimes")]
sys.path[:0] = [str(ROOT)]
# Set before any library looks: waiting threads would be counted as busy ones.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import judge
import numpy as np
from environment import OWN_PYTHON, Environment, run
from losses import Reference, standard_error
from rival_models import WIDTH, made_up, outlying, rounding_inputs, shortened
from rivals_page import OURS, page

from app.calibration.chats import ChatTemplate
from app.calibration.text import calibration_text, cut_calibration_windows
from app.core.places import sample_model
from app.evaluation.tokenizer import open_tokenizer
from app.models.named_weights import NamedWeights
from app.models.open import open_model

PAGE = ROOT / "docs" / "rivals.md"
KEPT = Path(__file__).with_suffix(".json")
SCORED, SCORED_SAMPLE = 4096, 8704
"""Tokens that the judge reads; half of them are scored. The small model loses little: more tell."""
WINDOWS, FEW, LENGTH = 16, 4, 512
"""Of the text that all are shown; few where a library would take an hour for more."""
THREADS = 2
SHORT, LONG = 2, 6
"""Layers of the models that are timed: what does not depend on their number cancels out."""
TRIES = 3
"""Of what takes a second or two; the shortest counts."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A method of a library, with the settings that it comes with."""

    who: str
    what: str
    task: str
    environment: str
    """"" for our own."""
    settings: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """For the command line and the kept figures."""
        words = f"{self.task}/{self.what}/{self.who}".lower().replace(",", "")
        return words.replace(" ", "-")

    def make(self, source: Path, tokens: Path, target: Path) -> dict[str, float]:
        """Write a folder; seconds of the clock and of the processor."""
        request = {
            "folder": str(source), "tokens": str(tokens), "target": str(target),
            "threads": THREADS, **dict(self.settings),
        }  # fmt: skip
        if self.environment:
            script = f"quantize_with_{self.environment}"
            return dict(Environment(self.environment).run(script, timeout=7200, **request))
        return dict(run(OWN_PYTHON, "quantize_with_nibble", request, timeout=7200))


def _ours(task: str, what: str, preset: str, method: str, *options: tuple[str, str]) -> Contender:
    settings = {"preset": preset, "method": method, "options": options}
    return Contender(OURS, what, task, "", tuple(settings.items()))


def _gptqmodel(task: str, what: str, method: str, *, symmetric: bool) -> Contender:
    settings = {"method": method, "bits": 4, "group": 128, "symmetric": symmetric, "options": {}}
    return Contender("GPTQModel", what, task, "gptqmodel", tuple(settings.items()))


def _llmcompressor(task: str, what: str, method: str, scheme: str, **options: Any) -> Contender:
    settings = {"method": method, "scheme": scheme, "options": options}
    return Contender("llm-compressor", what, task, "llmcompressor", tuple(settings.items()))


def _searching(contender: Contender, **settings: Any) -> Contender:
    """The same, with scales that are searched for, which these libraries do only when asked."""
    merged = {**dict(contender.settings), **settings}
    what = f"{contender.what}, searched scales"
    return replace(contender, what=what, settings=tuple(merged.items()))


SYMMETRIC, ASYMMETRIC, INPUTS, FLOATS = "symmetric", "asymmetric", "inputs", "floats"
"""4 bits in groups of 128, either way; and 8 bits for weights and inputs, as integers or floats."""
SAMPLE = "sample-"
"""Begins the names of what is done with the sample model as well."""
ROUNDING, GPTQ, AWQ, SMOOTHQUANT = "rounding", "GPTQ", "AWQ", "SmoothQuant"
CONTENDERS = (
    _llmcompressor(SYMMETRIC, ROUNDING, "nearest", "W4A16"),
    _ours(SYMMETRIC, ROUNDING, "w4a16-g128", "nearest"),
    _gptqmodel(SYMMETRIC, GPTQ, "gptq", symmetric=True),
    _llmcompressor(SYMMETRIC, GPTQ, "gptq", "W4A16"),
    _searching(_gptqmodel(SYMMETRIC, GPTQ, "gptq", symmetric=True), options={"mse": 2.4}),
    _searching(_llmcompressor(SYMMETRIC, GPTQ, "gptq", "W4A16"), observer="mse"),
    _ours(SYMMETRIC, GPTQ, "gptq-4bit-g128", "gptq"),
    _llmcompressor(ASYMMETRIC, ROUNDING, "nearest", "W4A16_ASYM"),
    _ours(ASYMMETRIC, ROUNDING, "awq-4bit-g128", "nearest"),
    _gptqmodel(ASYMMETRIC, GPTQ, "gptq", symmetric=False),
    _llmcompressor(ASYMMETRIC, GPTQ, "gptq", "W4A16_ASYM"),
    _ours(ASYMMETRIC, GPTQ, "gptq-4bit-asym-v2-g128", "gptq"),
    _gptqmodel(ASYMMETRIC, AWQ, "awq", symmetric=False),
    _llmcompressor(ASYMMETRIC, AWQ, "awq", "W4A16_ASYM"),
    _ours(ASYMMETRIC, AWQ, "awq-4bit-g128", "awq"),
    _ours(ASYMMETRIC, "AWQ and GPTQ", "awq-4bit-g128", "awq+gptq"),
    _llmcompressor(INPUTS, ROUNDING, "nearest", "W8A8"),
    _ours(INPUTS, ROUNDING, "w8a8-int8", "nearest"),
    _llmcompressor(INPUTS, SMOOTHQUANT, "smoothquant", "W8A8", smoothing_strength=0.8),
    _ours(INPUTS, SMOOTHQUANT, "w8a8-int8", "smoothquant"),
    _llmcompressor(FLOATS, ROUNDING, "nearest", "FP8_DYNAMIC"),
    _ours(FLOATS, ROUNDING, "fp8", "nearest"),
)
CONTENDERS += tuple(
    replace(one, task=f"{SAMPLE}{one.task}")
    for one in CONTENDERS
    if one.task in {SYMMETRIC, ASYMMETRIC} and "," not in one.what
)
NAMES = {contender.name: contender for contender in CONTENDERS}


class Bench:
    """The tokens that all are shown, and judges, each made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._references: dict[Path, Reference] = {}
        for model, count in product((judge.folder(), sample_model()), (WINDOWS, FEW)):
            checkpoint = open_model(model)
            windows = cut_calibration_windows(
                open_tokenizer(checkpoint),
                calibration_text(),
                chunks=count,
                length=LENGTH,
                template=ChatTemplate.of(checkpoint),
            )
            np.save(self._tokens(model, count), windows.tokens.numpy())

    def quality(self, contender: Contender) -> dict[str, Any]:
        """What a result of the whole model has lost."""
        made = self._folder / "result"
        inputs = contender.task == INPUTS
        of_sample = contender.task.startswith(SAMPLE)
        model = sample_model() if of_sample else judge.folder()
        source = outlying(model) if inputs else model
        spent = contender.make(source, self._shown(model, contender), made)
        if source not in self._references:
            self._references[source] = Reference(source, SCORED_SAMPLE if of_sample else SCORED)
        reference = self._references[source]
        with rounding_inputs(reference.skeleton) if inputs else nullcontext():
            scores = reference.scores_of(NamedWeights(open_model(made)))
        shutil.rmtree(made)
        return {
            "kl": float(scores.kl.mean()),
            "error": standard_error(scores.kl),
            "same_top": float(scores.same_top.mean()),
            "whole": spent,
        }

    def time(self, contender: Contender) -> dict[str, float]:
        """Seconds for one layer, by the clock and of the processor."""
        made, model = self._folder / "result", judge.folder()
        wide = contender.what == ROUNDING  # otherwise, a few milliseconds
        spent = []
        for layers in (SHORT, LONG):
            source = made_up(model, layers) if wide else shortened(model, layers)
            tries = []
            for _ in range(TRIES if wide else 1):
                tries.append(contender.make(source, self._shown(model, contender), made))
                shutil.rmtree(made)
            spent.append({name: min(one[name] for one in tries) for name in tries[0]})
        return {name: (spent[1][name] - spent[0][name]) / (LONG - SHORT) for name in spent[0]}

    def _shown(self, model: Path, contender: Contender) -> Path:
        """What a contender is shown of a model's windows."""
        return self._tokens(model, FEW if contender.what == AWQ else WINDOWS)

    def _tokens(self, model: Path, count: int) -> Path:
        return self._folder / f"{model.name}-{count}.npy"


def versions() -> dict[str, str]:
    """Of the libraries, as they are listed."""
    found = {}
    for name in ("gptqmodel", "llmcompressor"):
        lines = Environment(name).packages.splitlines()
        found |= dict(line.split("==") for line in lines if line.lower().startswith(f"{name}=="))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", metavar="NAME", choices=NAMES)
    parser.add_argument("--no-time", action="store_true", help="keep the times that there are")
    parser.add_argument("--no-quality", action="store_true", help="keep the losses that there are")
    args = parser.parse_args()
    chosen = NAMES.values() if args.only is None else [NAMES[name] for name in args.only]
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for contender in chosen:
            found = kept.setdefault(contender.name, {})
            if not args.no_quality:
                found |= bench.quality(contender)
            if not args.no_time and not contender.task.startswith(SAMPLE):
                found["layer"] = bench.time(contender)
            print(contender.name, json.dumps(found), flush=True)
            KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    facts = {"windows": WINDOWS, "length": LENGTH, "scored": SCORED, "short": SHORT, "long": LONG}
    facts |= {"width": WIDTH, "few": FEW, "scored_sample": SCORED_SAMPLE, "tries": TRIES}
    PAGE.write_text(page(CONTENDERS, kept, facts, versions()), encoding="utf-8")


if __name__ == "__main__":
    main()
