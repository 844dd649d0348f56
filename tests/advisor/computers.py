"""Computers to place models on."""

from __future__ import annotations

from app.core.machine import Cpu, Gpu, Machine, Space

GB = 10**9


def computer(memory: int, *gpus: Gpu, total: int = 0, bandwidth: float = 40e9) -> Machine:
    """A computer with so many bytes of free memory."""
    return Machine(
        cpu=Cpu("a processor", 8, 16, bandwidth=bandwidth),
        memory=Space("Memory", total or memory, memory),
        gpus=gpus,
    )


def card(free: int, *, total: int = 0, vendor: str = "nvidia", bandwidth: float = 500e9) -> Gpu:
    """A graphics card with so many free bytes of its own."""
    return Gpu(f"Card {free // GB}", vendor, "cuda:0", total or free, free, bandwidth=bandwidth)


def part(free: int, vendor: str = "apple") -> Gpu:
    """The graphics part of a processor, which lives in the computer's memory."""
    return Gpu("Graphics", vendor, "mps:0", free, free, shared=True, bandwidth=200e9)
