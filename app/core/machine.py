"""The computer, as far as it matters for running a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor."""

    name: str
    cores: int
    """Physical cores; 0 when unknown."""
    threads: int


@dataclass(frozen=True, slots=True)
class Space:
    """A memory or a disk, in bytes."""

    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that was found."""

    cpu: Cpu
    memory: Space
    gpus: tuple[Space, ...]
    """Graphics cards with memory of their own."""
    disks: tuple[Space, ...]
