"""What is stored is what the libraries store, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from environment import Environment
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.encodings import FOLDER_ENCODINGS
from app.encodings.affine import Affine
from app.encodings.base import Encoding
from app.encodings.gptq import Gptq

pytestmark = [pytest.mark.runtimes, pytest.mark.timeout(3600)]

ROWS, COLUMNS = 96, 256
SHAPE = (ROWS, COLUMNS)
WEIGHT = 0.02 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(7))


def affine(*families: str) -> dict[str, Affine]:
    found: Mapping[str, Encoding] = FOLDER_ENCODINGS
    return {
        name: encoding
        for name, encoding in found.items()
        if isinstance(encoding, Affine) and encoding.prefix in families
    }


PACKED = affine("gptq", "gptq2", "awq")
MLX = affine("mlx")


def asked(environment: str, script: str, given: dict[str, Tensor], **request: Any) -> Any:
    """The tensors that a script stores."""
    runtime = Environment(environment)
    if runtime.missing:
        pytest.skip(runtime.missing)
    folder: Path = request.pop("folder")
    save_file(given, folder / "given.safetensors")
    places = {name: str(folder / f"{name}.safetensors") for name in ("given", "stored")}
    runtime.run(script, timeout=1800, **places, **request)
    return load_file(places["stored"])


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The same codes, scales and zero points, packed by GPTQModel."""
    given, wanted = {}, {}
    for name, encoding in PACKED.items():
        parts = encoding.encode(WEIGHT)
        _, scale, zero = encoding.unpack(parts, SHAPE)
        given |= {f"{name}.weight": encoding.decode(parts, SHAPE)}
        given |= {f"{name}.scales": scale.contiguous(), f"{name}.zeros": zero.contiguous()}
        group = encoding.group or -1
        wanted[name] = {"kind": encoding.prefix, "bits": encoding.bits, "group": group}
    folder = tmp_path_factory.mktemp("packed")
    found: dict[str, Tensor] = asked(
        "gptqmodel", "pack_with_gptqmodel", given, weights=wanted, folder=folder
    )
    return found


@pytest.mark.parametrize("name", PACKED)
def test_that_codes_are_packed_as_gptqmodel_packs_them(
    name: str, packed: dict[str, Tensor]
) -> None:
    ours = PACKED[name].encode(WEIGHT)
    expected = {"qweight", "qzeros", "scales"} | ({"g_idx"} & ours.keys())
    assert ours.keys() == expected
    for part, stored in ours.items():
        theirs = packed[f"{name}.{part}"]
        assert stored.dtype == theirs.dtype, part
        assert stored.equal(theirs), part


def test_that_every_bit_width_and_version_is_compared() -> None:
    kinds = {(type(encoding), encoding.bits) for encoding in PACKED.values()}
    assert {(Gptq, bits) for bits in (2, 3, 4, 8)} <= kinds


@pytest.fixture(scope="module")
def quantized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The same weight, quantized by MLX from the type that scales are stored in."""
    types = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
    found: dict[str, Tensor] = asked(
        "mlx",
        "quantize_with_mlx",
        {name: WEIGHT.to(types[encoding.scales]).clone() for name, encoding in MLX.items()},
        weights={
            name: {"bits": encoding.bits, "group_size": encoding.group}
            for name, encoding in MLX.items()
        },
        folder=tmp_path_factory.mktemp("mlx"),
    )
    return found


@pytest.mark.parametrize("name", MLX)
def test_that_mlx_reads_what_we_read(name: str, quantized: dict[str, Tensor]) -> None:
    parts = {part: quantized[f"{name}.{part}"] for part in ("weight", "scales", "biases")}
    encoding = MLX[name]
    assert {part.name: part.shape for part in encoding.layout(SHAPE)} == {
        part: tuple(some.shape) for part, some in parts.items()
    }
    ours = encoding.decode(parts, SHAPE)
    read = quantized[f"{name}.read"]
    step = torch.finfo(read.dtype).eps
    largest = 2**encoding.bits * parts["scales"].float().abs() + parts["biases"].float().abs()
    bound = 2 * step * largest.repeat_interleave(encoding.group, 1)  # its sums are rounded, too
    assert ((ours - read.float()).abs() <= bound).all()


@pytest.mark.parametrize("name", [name for name, found in MLX.items() if found.scales == "F32"])
def test_that_the_plain_grid_stores_the_bytes_of_mlx(
    name: str, quantized: dict[str, Tensor]
) -> None:
    encoding = MLX[name]
    scale, zero = encoding.grid(WEIGHT, clips=(1.0,))
    ours = encoding.pack(encoding.nearest(WEIGHT, scale, zero), scale, zero)
    assert ours["scales"].equal(quantized[f"{name}.scales"])
    # A zero point stands for the bias on the way, which float32 rounds.
    torch.testing.assert_close(ours["biases"], quantized[f"{name}.biases"], rtol=2**-22, atol=0)
    theirs = encoding.unpack({part: quantized[f"{name}.{part}"] for part in ours}, SHAPE)[0]
    codes = encoding.unpack(ours, SHAPE)[0]
    place = WEIGHT / scale.repeat_interleave(encoding.group, 1)
    tie = (place % 1 - 0.5).abs() < 1e-4
    assert ((codes == theirs) | tie).all()
    assert (codes == theirs).float().mean() > 0.999
