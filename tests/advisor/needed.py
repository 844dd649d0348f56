"""Jobs of made-up dimensions, and what they need."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from computers import GB, computer

from app.advisor import job_needs
from app.core.job import Job, Output
from app.core.machine import Machine
from app.core.needs import JobNeeds
from app.core.plan import Plan, PlannedFile, PlannedTensor
from app.core.recipe import Recipe

SOURCE: Any = SimpleNamespace(nbytes=150_000_000, config={}, path=Path("/model"))
"""As much of a checkpoint as counts: what a model is made of is told by plans."""


def plan(*tensors: tuple[tuple[int, ...], str, int]) -> Plan:
    """A result of tensors, given by shape, encoding and bytes."""
    return named({f"t{index}": tensor for index, tensor in enumerate(tensors)})


def named(tensors: dict[str, tuple[tuple[int, ...], str, int]], *ranges: str) -> Plan:
    """The same with the tensors' names."""
    rows = tuple(
        PlannedTensor(name, shape, encoding, 0, nbytes, (name,))
        for name, (shape, encoding, nbytes) in tensors.items()
    )
    return Plan("Q4_K_M", rows, (PlannedFile(b"", sum(row.nbytes for row in rows)),), ranges=ranges)


LARGE = plan(((4096, 4096), "Q4_K", 9_437_184), ((4096, 14336), "Q6_K", 48_168_960))


def needs(
    *plans: Plan,
    target: Path = Path("/x.gguf"),
    machine: Machine | None = None,
    device: str = "cpu",
    method: str = "nearest",
    job: dict[str, Any] | None = None,
    **more: Any,
) -> JobNeeds:
    """What a job takes with these results."""
    recipe = Recipe("Q4_K_M", method=method)
    outputs = tuple(Output(str(target), recipe) for _ in plans)
    wanted = Job("x", "/model", outputs, device=device, **(job or {}))
    return job_needs(wanted, plans, SOURCE, machine or computer(16 * GB), **more)
