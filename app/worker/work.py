"""Everything about a job that follows from its request."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from app.calibration.treatment import Treatment
from app.core.errors import BadModelFile, Unsupported
from app.core.job import Job, Output
from app.core.plan import Plan
from app.core.recipe import AUTOMATIC
from app.formats import find_preset
from app.formats.base import Conversion, Format
from app.models import open_model
from app.models.base import Checkpoint
from app.models.folded import Folded
from app.models.merged import with_adapters
from app.models.quantized import plain
from app.worker.device import check_device
from app.worker.importance import Importance
from app.worker.shown import shown_facts


@dataclass(frozen=True, slots=True)
class Result:
    """One of a job's outputs, planned."""

    number: int
    output: Output
    form: Format
    treatment: Treatment
    conversion: Conversion
    """Shared by the results of the same format that neither smooth weights nor store ranges."""
    plan: Plan
    importance: Importance | None = None
    folded: Folded | None = None
    """What the conversion reads, where weights are smoothed before they are quantized."""

    @property
    def is_calibrated(self) -> bool:
        """Whether its numbers are chosen by what the model computes, layer by layer."""
        return bool(self.treatment.needs)

    @property
    def smooths_ranges(self) -> bool:
        """Whether it stores ranges of inputs that a smoothing changes: they are known after it."""
        return bool(self.plan.ranges) and self.folded is not None

    @property
    def sees_pieces(self) -> bool:
        """Whether the model is shown as much of a text for it as the job says."""
        return self.is_calibrated or bool(self.plan.ranges)

    @property
    def sees_text(self) -> bool:
        """Whether the model is shown a text for it."""
        return self.sees_pieces or self.output.recipe.importance == AUTOMATIC

    @property
    def target(self) -> Path:
        """Where it goes."""
        return Path(self.output.target).absolute()

    @property
    def paths(self) -> list[Path]:
        """Its files."""
        return [file.path(self.target) for file in self.plan.files]

    @property
    def opened(self) -> Path:
        """What programs are given to open: the folder, or the first file."""
        return self.target if self.plan.is_folder else self.paths[0]

    def weighed(self, importance: Importance) -> Result:
        """The same result, planned again now that the importance matrix is there.

        Raises:
            BadModelFile: The matrix belongs to another model.
            Unsupported: The matrix lacks what the recipe needs.
        """
        plan = self.conversion.plan(self.output.recipe, importance.facts)
        importance.check(plan.tensors)
        return replace(self, plan=self.treatment.noted(plan), importance=importance)


@dataclass(frozen=True, slots=True)
class Work:
    """A job's source and results, opened and planned; no weight has been read."""

    job: Job
    source: Checkpoint
    source_state: tuple[tuple[str, int, int], ...]
    """Name, size and time of the source's files when the job began."""
    results: tuple[Result, ...]
    threads: int

    @classmethod
    def of(cls, job: Job) -> Work:
        """Open the source and plan the results, as far as that goes without importances.

        Raises:
            AppError: The source or a recipe is at fault, or a result would replace the source or
                another one.
        """
        check_device(job.device)
        adapters = [(Path(path), scale) for path, scale in job.adapters]
        source = with_adapters(open_model(Path(job.source)), adapters)
        results = _planned(job.outputs, source)
        _check_places(results, source)
        return cls(job, source, _state(source), results, threads_of(job))

    def weighed(self, importances: Mapping[str, Importance]) -> Work:
        """The same work with the matrices that the recipes name.

        Raises:
            AppError: A matrix does not fit.
        """
        wishes = [result.output.recipe.importance for result in self.results]
        results = (
            result.weighed(importances[wish]) if wish else result
            for result, wish in zip(self.results, wishes, strict=True)
        )
        return replace(self, results=tuple(results))

    def fingerprint(self, result: Result) -> str:
        """Differs from another result's where a byte of it may."""
        facts = (
            [hashlib.sha256(file.header).hexdigest() for file in result.plan.files],
            [asdict(tensor) for tensor in result.plan.tensors],
            result.output.recipe.to_json(),
            result.importance.digest if result.importance else "",
            self.job.device.partition(":")[0],  # each kind of device has kernels of its own
            self.job.adapters,
            self.source_state,
            shown_facts(self.job) if result.is_calibrated else "",
            result.conversion.learned,
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def notes(self) -> list[str]:
        """What the user should know of the results; of which, where it is not true of all."""
        about: dict[str, list[str]] = {}
        for result in self.results:
            for note in result.plan.notes:
                about.setdefault(note, []).append(result.plan.preset)
        every = len(self.results)
        notes = [
            note if len(presets) == every else f"{', '.join(presets)}: {note}"
            for note, presets in about.items()
        ]
        return notes + self._needless()

    def _needless(self) -> list[str]:
        """What was said about a text that nobody reads."""
        job, notes = self.job, list[str]()
        if job.calibration and not any(result.sees_text for result in self.results):
            notes.append(f"Nothing here needs a text: {Path(job.calibration).name} is unread.")
        counts = {
            "number of pieces": job.samples,
            "length of pieces": job.length,
            "seed": job.seed,
        }
        given = [name for name, count in counts.items() if count]
        if given and not any(result.sees_pieces for result in self.results):
            notes.append(
                f"No method or format here is shown a text: the {' and the '.join(given)} given "
                "for it will not be used."
            )
        return notes

    def check_source_unchanged(self) -> None:
        """Make sure that all of the results come from the same source.

        Raises:
            BadModelFile: A file of the source was changed while the job ran.
        """
        if _state(self.source) != self.source_state:
            raise BadModelFile(
                f"The files of {self.source.path.name} were changed while they were being read.",
                "Start the job again once nothing writes to them any more.",
            )


def threads_of(job: Job) -> int:
    """Processor threads that a job may use."""
    return job.threads or available_threads()


def available_threads() -> int:
    """Processor threads that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _planned(outputs: Sequence[Output], source: Checkpoint) -> tuple[Result, ...]:
    conversions: dict[str, Conversion] = {}
    results = []
    for number, output in enumerate(outputs):
        form, _ = find_preset(output.recipe.preset)
        conversion = conversions.get(form.name) or form.prepare(source)
        conversions[form.name] = conversion
        treatment = Treatment.of(output.recipe.method, output.recipe.options)
        folded = _foldable(source) if treatment.smoothing else None
        plan = conversion.plan(output.recipe)
        if folded or plan.ranges:  # what it reads or learns is for this result alone
            conversion = form.prepare(folded or source)
            plan = conversion.plan(output.recipe)
        plan = treatment.noted(plan)
        results.append(Result(number, output, form, treatment, conversion, plan, folded=folded))
    return tuple(results)


def _foldable(source: Checkpoint) -> Folded:
    """A model whose weights can be scaled against each other.

    Raises:
        Unsupported: It is a GGUF file.
    """
    if source.kind != "safetensors":
        raise Unsupported(
            "The weights of a GGUF file cannot be smoothed.",
            "Start from the original folder with .safetensors files, or choose another method.",
        )
    return Folded(plain(source))


def _check_places(results: Sequence[Result], source: Checkpoint) -> None:
    sources = {file.resolve() for file in source.files}
    taken: set[Path] = set()
    for result in results:
        places = {path.resolve() for path in result.paths}
        if places & sources:
            raise Unsupported(
                "The result would replace the model that it is made from.",
                "Choose another name or folder to save to.",
            )
        if places & taken:
            raise Unsupported(
                f"Two results would be saved as {result.target.name}.", "Give each its own name."
            )
        taken |= places


def _state(source: Checkpoint) -> tuple[tuple[str, int, int], ...]:
    stats = [(str(file), file.stat()) for file in source.files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
