"""Where a result is going to run: kinds of programs, and the commands that start them on it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.core.machine import Machine


class Runtime(StrEnum):
    """Programs that load the same files, with much the same hardware; lists are grouped by it."""

    LLAMA_CPP = "llama.cpp"
    VLLM = "vllm"
    TRANSFORMERS = "transformers"
    MLX = "mlx"

    @property
    def label(self) -> str:
        """What people know it by."""
        return _TITLES[self]


_TITLES = {
    Runtime.LLAMA_CPP: "llama.cpp, Ollama, LM Studio",
    Runtime.VLLM: "vLLM, SGLang",
    Runtime.TRANSFORMERS: "Transformers",
    Runtime.MLX: "Mac with MLX",
}
#: Programs by the start of their names, in lower case.
_PROGRAMS = {
    "llama.cpp": Runtime.LLAMA_CPP,
    "ollama": Runtime.LLAMA_CPP,
    "lm studio": Runtime.LLAMA_CPP,
    "vllm": Runtime.VLLM,
    "sglang": Runtime.VLLM,
    "transformers": Runtime.TRANSFORMERS,
    "hqq": Runtime.TRANSFORMERS,
    "mlx": Runtime.MLX,
}


def runtimes_in(programs: str) -> tuple[Runtime, ...]:
    """The kinds of programs that a format names, each once: "transformers, vLLM, SGLang"."""
    names = [name.strip().lower() for name in programs.split(",")]
    found = {
        runtime for name in names for start, runtime in _PROGRAMS.items() if name.startswith(start)
    }
    return tuple(runtime for runtime in Runtime if runtime in found)


_SERVER_BYTES = 40 << 30
"""Cards with more memory stand in servers."""


def suggested_runtime(machine: Machine) -> Runtime:
    """What people with such a computer use most."""
    if any(gpu.vendor == "apple" for gpu in machine.gpus):
        return Runtime.MLX
    servers = [gpu for gpu in machine.gpus if gpu.vendor == "nvidia" and gpu.total > _SERVER_BYTES]
    return Runtime.VLLM if servers else Runtime.LLAMA_CPP


@dataclass(frozen=True, slots=True)
class Start:
    """How to run a result."""

    program: str
    command: str
    """A line for a shell."""


_COMMANDS = (
    (Runtime.LLAMA_CPP, "llama.cpp", ("llama-server", "-m")),
    (Runtime.LLAMA_CPP, "LM Studio", ("lms", "import")),
    (Runtime.VLLM, "vLLM", ("vllm", "serve")),
    (Runtime.VLLM, "SGLang", ("python", "-m", "sglang.launch_server", "--model-path")),
    (Runtime.TRANSFORMERS, "transformers", ("transformers", "serve")),
    (Runtime.MLX, "MLX", ("mlx_lm.chat", "--model")),
)


def starts(programs: str, target: str) -> tuple[Start, ...]:
    """How the programs that a format names load the result at `target`, one line each."""
    named = programs.lower()
    return tuple(
        Start(program, _line((*words, target)))
        for runtime, program, words in _COMMANDS
        if runtime in runtimes_in(programs) and program.lower() in named
    )


def _line(words: Sequence[str]) -> str:
    """Words as the system's shell reads them."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
