"""MXFP4 and NVFP4 beyond what every encoding is held to."""

import pytest
import torch
from weight_rows import importances, ordinary

from app.encodings import ENCODINGS
from app.encodings.base import Overflow

SUB_BLOCKS = {"MXFP4": 32, "NVFP4": 16}
SCALES = {"MXFP4": range(90, 140), "NVFP4": range(1, 127)}
names = pytest.mark.parametrize("name", SUB_BLOCKS)

ROWS = {kind: ordinary()[kind][:4] for kind in ("normal", "student t", "layers.0.mlp.up_proj")}


def random_blocks(name, scales):
    """Blocks of all codes but the zero with a sign, which no encoder writes."""
    some = torch.Generator().manual_seed(2)
    encoding = ENCODINGS[name]
    subs = encoding.block // SUB_BLOCKS[name]
    codes = torch.randint(0, 15, (300, encoding.block), generator=some, dtype=torch.uint8)
    codes += codes >= 8
    first, second = codes.view(300, subs, 2, -1).unbind(2)
    places = torch.randint(0, len(scales), (300, subs), generator=some)
    return torch.cat([torch.tensor(scales)[places], (first | second << 4).flatten(1)], 1).byte()


def missed(name, weight, decoded, importance=None):
    """The square error of each sub-block."""
    square = (weight - decoded.view(weight.shape)).double().square()
    if importance is not None:
        square = square * importance
    return square.view(-1, SUB_BLOCKS[name]).sum(-1)


@names
def test_that_what_is_on_the_grid_stays_there(name, read_as_ggml):
    weight = read_as_ggml(name, random_blocks(name, SCALES[name])).view(2, -1)
    blocks = ENCODINGS[name].encode(weight)["blocks"]
    assert read_as_ggml(name, blocks).equal(weight.view(-1))
    there = ENCODINGS[name].encode_torch(weight.view(-1, ENCODINGS[name].block), None)
    assert read_as_ggml(name, there).equal(weight.view(-1))


@names
@pytest.mark.parametrize("kind", ROWS)
def test_that_no_block_is_further_off_than_that_of_ggml(name, kind, ggml, read_as_ggml):
    weight = ROWS[kind]
    ours = read_as_ggml(name, ENCODINGS[name].encode(weight)["blocks"])
    theirs = read_as_ggml(name, ggml.encode(weight, ENCODINGS[name]))
    ours, theirs = missed(name, weight, ours), missed(name, weight, theirs)
    assert (ours <= theirs * (1 + 1e-5)).all()
    assert ours.sum() < 0.97 * theirs.sum()


@names
@pytest.mark.parametrize("importance", [None, importances()["log normal"]])
def test_that_no_other_scale_is_much_better(name, importance, read_as_ggml):
    encoding = ENCODINGS[name]
    for some in ROWS.values():
        weight = some[:2, :1024]
        columns = None if importance is None else importance[: weight.shape[-1]]
        decoded = encoding.decode(encoding.encode(weight, columns), tuple(weight.shape))
        ours = missed(name, weight, decoded, columns)
        best = torch.full_like(ours, torch.inf)
        values = read_as_ggml(name, one_of_each(name)).view(len(SCALES[name]), -1)[:, :16]
        for grid in values:  # every scale, each weight on the nearest value
            nearest = grid[(weight.reshape(-1, 1) - grid).abs().argmin(-1)]
            best = torch.minimum(best, missed(name, weight, nearest, columns))
        assert (ours >= best * (1 - 1e-5)).all()
        assert ours.sum() <= 1.01 * best.sum()


def one_of_each(name):
    """A block for each scale, whose first weights, read in order, are the codes 0 .. 15."""
    encoding, size = ENCODINGS[name], SUB_BLOCKS[name]
    subs = encoding.block // size
    codes = torch.arange(size) % 16
    packed = codes[: size // 2] | codes[size // 2 :] << 4
    rows = [torch.cat([torch.full((subs,), scale), packed.repeat(subs)]) for scale in SCALES[name]]
    return torch.stack(rows).byte()


def test_that_nvfp4_says_what_is_too_large():
    with pytest.raises(Overflow, match=r"largest value here is 2\.69e"):
        ENCODINGS["NVFP4"].encode(torch.full((1, 64), 2700.0))
    with pytest.raises(Overflow, match=r"largest value here is 2\.69e"):
        ENCODINGS["NVFP4"].encode_torch(torch.full((1, 64), 2700.0), None)
    assert ENCODINGS["NVFP4"].encode(torch.full((1, 64), 2688.0))
