"""Kinds of programs, and the lines that start them."""

import shlex

from app.core.runtime import Runtime, runtimes_in, starts


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
