"""The tokenizers of the real llama.cpp, from files that hold a vocabulary and no model.

As in llama_cpp.py, the library runs in a process of its own: this file, run as a script. One
process reads many files.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import llama_cpp

_VOCABULARY_ONLY = 72  # where llama_model_params has this flag, in bytes


def write(vocabulary, target: Path) -> None:
    """A GGUF file with nothing but a vocabulary."""
    from app.formats.gguf.header import Metadata, encode_header, typed
    from app.formats.gguf.metadata import tokenizer_metadata

    entries = {"general.architecture": "llama", **tokenizer_metadata(vocabulary)}
    kept = {key: typed(value) for key, value in entries.items() if value not in {(), ""}}
    target.write_bytes(encode_header(Metadata.of(kept), []))


def tokenize(files: Sequence[Path], texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
    """Tokens of each file's texts as whole inputs, with marks like <|end|> read."""
    done = subprocess.run(
        [sys.executable, __file__],
        input=json.dumps([[str(file) for file in files], texts]).encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-4000:]
    return json.loads(done.stdout)


def main() -> None:
    """Carry out the request from standard input."""
    files, texts = json.load(sys.stdin)
    llama = llama_cpp._load()
    answer = []
    for file, items in zip(files, texts, strict=True):
        params = llama.llama_model_default_params()
        flags = ctypes.cast(
            ctypes.addressof(params) + _VOCABULARY_ONLY, ctypes.POINTER(ctypes.c_int8)
        )
        assert list(flags[:3]) == [0, 0, 1], "llama.h has changed"
        flags[0] = True
        model = llama.llama_model_load_from_file(file.encode(), params)
        if not model:
            raise SystemExit(f"{file} was refused")
        vocabulary = ctypes.c_void_p(llama.llama_model_get_vocab(ctypes.c_void_p(model)))
        answer.append([_tokens(llama, vocabulary, item.encode()) for item in items])
    sys.stdout.write(json.dumps(answer))


def _tokens(llama: ctypes.CDLL, vocabulary: ctypes.c_void_p, data: bytes) -> list[int]:
    space = (ctypes.c_int32 * (len(data) + 16))()
    count = llama.llama_tokenize(vocabulary, data, len(data), space, len(space), True, True)
    return list(space[:count])


if __name__ == "__main__":
    main()
