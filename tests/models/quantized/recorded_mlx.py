"""What MLX 0.32.4 wrote and read back, recorded: it does not exist for every computer.

python -m tests.models.quantized.recorded_mlx    records it again, where MLX is installed
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.models.quantized.published import NAME, STEM, Published, random

RECORDED = Path(__file__).with_name("recorded_mlx.safetensors")
VARIANTS = {
    **{f"{bits} bits": ("affine", bits, 64) for bits in (2, 3, 4, 5, 6, 8)},
    "4 bits in groups of 32": ("affine", 4, 32),
    "mxfp4": ("mxfp4", 4, 32),
}
PARTS = ("weight", "scales", "biases")


def recorded(variant: str) -> Published:
    """One weight as MLX stored it and as it read it."""
    mode, bits, length = VARIANTS[variant]
    tensors = load_file(RECORDED)
    found = {part: tensors.get(f"{variant} {part}") for part in (*PARTS, "expected")}
    settings = {"group_size": length, "bits": bits, "mode": mode}
    return Published(
        {"quantization": settings, "quantization_config": settings},
        {f"{STEM}.{part}": found[part] for part in PARTS if found[part] is not None},
        found["expected"],
        name=NAME,
        rounded=1e-6,
    )


def record() -> None:
    import mlx.core as mx
    import numpy as np

    tensors: dict[str, torch.Tensor] = {}
    weight = mx.array(random(4, 128).numpy())
    for variant, (mode, bits, length) in VARIANTS.items():
        parts = mx.quantize(weight, length, bits, mode=mode)
        back = mx.dequantize(*parts, group_size=length, bits=bits, mode=mode).astype(mx.float32)
        for name, part in zip((*PARTS[: len(parts)], "expected"), (*parts, back), strict=True):
            tensors[f"{variant} {name}"] = torch.from_numpy(np.array(part))
    save_file(tensors, RECORDED)


if __name__ == "__main__":
    record()
