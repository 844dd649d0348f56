"""Whether the device that a job asks for is one that PyTorch can use here."""

from __future__ import annotations

from app.core.errors import Unsupported
from app.devices.pytorch import accelerators

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
