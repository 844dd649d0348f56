"""The memory and the time of a large model as a folder. Run by hand; prints what it measures.

    python tests/benchmarks/folder_job.py [--gigabytes N] [--folder FOLDER]
                                          [FORMAT[/METHOD[/WINDOWS]] ...]

Makes a Llama of random BF16 weights in 24 layers; as much room again as it takes has to be free.
Every job runs in a process of its own. Linux only.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from large_job import run

from checkpoints import write_llama  # isort: skip - large_job knows where it is

SHAPE = {"hidden": 3072, "inner": 11008, "heads": 24, "kv_heads": 8}
LAYER = 253e6
"""Bytes of a layer of this shape."""
FORMATS = ("fp8", "w4a16-g128", "bnb-nf4", "nvfp4a16", "mlx-4bit")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("formats", nargs="*", default=FORMATS)
    parser.add_argument("--gigabytes", type=float, default=6)
    parser.add_argument("--folder", type=Path, help="where there is room (default: temporary)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        layers = max(1, round(args.gigabytes * 1e9 / LAYER))
        nbytes = write_llama(Path(name) / "model", layers=layers, **SHAPE)
        print(f"{nbytes / 1e9:.2f} GB of BF16 weights in {layers} layers", flush=True)
        for format_and_method in args.formats:
            run(Path(name) / "model", Path(name), format_and_method)


if __name__ == "__main__":
    main()
