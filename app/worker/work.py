"""Everything about a job that follows from its request."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from app.core.errors import BadModelFile, Unsupported
from app.core.job import Job
from app.core.plan import Plan
from app.encodings import ENCODINGS
from app.formats import find_preset
from app.formats.base import Conversion, Format
from app.methods import METHODS
from app.methods.base import Method
from app.models import open_model
from app.models.base import Checkpoint
from app.worker.device import check_device


@dataclass(frozen=True, slots=True)
class Work:
    """A job's source and target, opened and planned; no weight has been read."""

    job: Job
    source: Checkpoint
    source_state: tuple[tuple[str, int, int], ...]
    """Name, size and time of the source's files when the job began."""
    form: Format
    method: Method
    conversion: Conversion
    plan: Plan
    target: Path
    threads: int

    @classmethod
    def of(cls, job: Job) -> Work:
        """Open the source and plan the result.

        Raises:
            AppError: The source or the recipe is at fault, or the target would replace the source.
        """
        check_device(job.device)
        form, _ = find_preset(job.recipe.preset)
        source = open_model(Path(job.source))
        conversion = form.prepare(source)
        plan = conversion.plan(job.recipe)
        method = _method(job.recipe.method, plan)
        target = Path(job.target).absolute()
        if any(target.resolve() == file.resolve() for file in source.files):
            raise Unsupported(
                "The result would replace the model that it is made from.",
                "Choose another name or folder to save to.",
            )
        threads = job.threads or available_threads()
        state = _state(source)
        return cls(job, source, state, form, method, conversion, plan, target, threads)

    @property
    def fingerprint(self) -> str:
        """Differs from another job's where a byte of the result may."""
        facts = (
            hashlib.sha256(self.plan.header).hexdigest(),
            [asdict(tensor) for tensor in self.plan.tensors],
            self.job.recipe.to_json(),
            self.job.device.partition(":")[0],  # each kind of device has kernels of its own
            self.source_state,
        )
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def check_source_unchanged(self) -> None:
        """Make sure that all of the result comes from the same source.

        Raises:
            BadModelFile: A file of the source was changed while the job ran.
        """
        if _state(self.source) != self.source_state:
            raise BadModelFile(
                f"The files of {self.source.path.name} were changed while they were being read.",
                "Start the job again once nothing writes to them any more.",
            )


def available_threads() -> int:
    """Processor threads that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _method(name: str, plan: Plan) -> Method:
    if name not in METHODS:
        raise Unsupported(f"There is no method called {name!r}.", f"Choose: {', '.join(METHODS)}.")
    method = METHODS[name]()
    for encoding in {tensor.encoding for tensor in plan.tensors}:
        if not method.fits(ENCODINGS[encoding]):
            raise Unsupported(f"The method {name} cannot produce {encoding}.", "Choose another.")
    return method


def _state(source: Checkpoint) -> tuple[tuple[str, int, int], ...]:
    stats = [(str(file), file.stat()) for file in source.files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
