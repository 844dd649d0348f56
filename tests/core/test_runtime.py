"""Kinds of programs, and the lines that start them."""

import shlex

from app.core.machine import Cpu, Gpu, Machine, Space
from app.core.runtime import Runtime, runtimes_in, starts, suggested_runtime
from app.devices.known import imagine


def test_that_programs_are_known_by_what_formats_call_them():
    assert runtimes_in("llama.cpp, Ollama, LM Studio") == (Runtime.LLAMA_CPP,)
    assert runtimes_in("transformers, vLLM, SGLang") == (Runtime.VLLM, Runtime.TRANSFORMERS)
    assert runtimes_in("MLX on a Mac") == (Runtime.MLX,)
    assert runtimes_in("SGLang") == (Runtime.VLLM,)
    assert runtimes_in("something else") == ()


def test_that_a_line_starts_each_program_that_a_format_names_and_no_other():
    target = "/models/my model"
    lines = {start.program: start.command for start in starts("transformers, vLLM", target)}
    assert list(lines) == ["vLLM", "transformers"]
    assert shlex.split(lines["vLLM"]) == ["vllm", "serve", target]
    assert starts("something else", target) == ()


def test_that_the_first_suggestion_follows_the_computer():
    assert suggested_runtime(imagine("M3 Max 64 GB")) is Runtime.MLX
    assert suggested_runtime(imagine("RTX 4090")) is Runtime.LLAMA_CPP
    assert suggested_runtime(imagine("16 GB")) is Runtime.LLAMA_CPP
    card = Gpu("H100", "nvidia", "cuda:0", 80 << 30, 79 << 30)
    server = Machine(Cpu("a processor", 64, 128), Space("Memory", 1 << 40, 1 << 40), (card,))
    assert suggested_runtime(server) is Runtime.VLLM
