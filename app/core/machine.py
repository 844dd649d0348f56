"""The computer, as far as it matters for making and running a model. All memory in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor."""

    name: str
    cores: int
    """Physical cores; 0 when unknown."""
    threads: int
    features: tuple[str, ...] = ()
    """Instruction sets that matter here: "AVX2", "AVX-512", "AMX", "NEON" ..."""
    bandwidth: float = 0.0
    """Bytes a second from memory, as measured; 0 when it was not."""


@dataclass(frozen=True, slots=True)
class Space:
    """A memory or a disk."""

    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """One graphics card, or the graphics part of a processor."""

    name: str
    vendor: str
    """"nvidia", "amd", "intel" or "apple"."""
    device: str
    """As a job names it, "cuda:0", "mps:0"; empty where PyTorch has no way to it."""
    total: int
    free: int
    shared: bool = False
    """Whether its memory is the computer's own."""
    capability: tuple[int, int] | None = None
    """NVIDIA's compute capability."""
    bandwidth: float = 0.0
    """Bytes a second, from a table; 0 when unknown."""
    driver: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that was found."""

    cpu: Cpu
    memory: Space
    gpus: tuple[Gpu, ...] = ()
    disks: tuple[Space, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be asked, a sentence each: "The NVIDIA driver does not answer"."""
    simulated: str = ""
    """Name of the computer that is only imagined; empty for the real one."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the border between processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Machine:
        """Inverse of `to_json`.

        Raises:
            ValueError: The fields are not those of a machine.
        """
        try:
            cpu = fields["cpu"]
            return cls(
                cpu=Cpu(**{**cpu, "features": tuple(cpu["features"])}),
                memory=Space(**fields["memory"]),
                gpus=tuple(_gpu(row) for row in fields["gpus"]),
                disks=tuple(Space(**row) for row in fields["disks"]),
                problems=tuple(fields["problems"]),
                simulated=fields["simulated"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a machine") from error


def _gpu(row: Mapping[str, Any]) -> Gpu:
    capability = row["capability"]
    return Gpu(**{**row, "capability": tuple(capability) if capability else None})
