"""Where a job computes, and where its hidden states wait meanwhile."""

from __future__ import annotations

from app.advisor.calibration import states_in_memory
from app.core.errors import Unsupported
from app.core.places import user_data
from app.devices.memory import memory
from app.devices.pytorch import accelerators
from app.models.layerwise import Place
from app.models.scratch import Scratch

_KINDS = ("cuda", "mps", "xpu")  # ROCm's cards are called cuda, too


def check_device(name: str) -> None:
    """Accept "cpu", or an accelerator that answers.

    Raises:
        Unsupported: There is no such device.
    """
    if name == "cpu":
        return
    usable = accelerators()
    kind, _, number = name.partition(":")
    if kind in _KINDS and f"{kind}:{number or 0}" in usable:
        return
    raise Unsupported(
        f"PyTorch cannot use a device called {name} on this computer.",
        f"Choose one of: {', '.join(('cpu', *usable))}.",
    )


def place_on(device: str) -> Place:
    """A device, and room for hidden states: in memory where they take little of what is free now.

    Otherwise they wait on the disk of the user's data.

    Raises:
        Unsupported: There is no such device.
    """
    return Place(device, Scratch(user_data(), states_in_memory(memory().free)))
