"""The kind of programs that results are for: as chosen, else as the computer suggests."""

from __future__ import annotations

from app.core.runtime import Runtime, suggested_runtime
from app.ui.machine import Machine
from app.ui.preferences import Preferences


def chosen_runtime(preferences: Preferences, machine: Machine) -> Runtime:
    """What counts now; it can change when the computer becomes known, or is another one."""
    if preferences.runtime in set(Runtime):
        return Runtime(preferences.runtime)
    return suggested_runtime(machine.hardware) if machine.hardware else Runtime.LLAMA_CPP
