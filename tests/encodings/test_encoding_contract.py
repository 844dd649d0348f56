"""What every encoding promises; a new one is tested by being there."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from expectations import SAME_WITH, SAME_WITHOUT, SEARCHED_WITH
from weight_rows import importances, ordinary, weighed, weird

from app.encodings import BLOCK_BY_ID, ENCODINGS
from app.encodings.base import NotFinite, Overflow
from app.encodings.ggml_block import GgmlBlock, usable
from app.encodings.kernels import warm_up

every = pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
KERNELS = {name: enc for name, enc in ENCODINGS.items() if isinstance(enc, GgmlBlock)}
with_kernels = pytest.mark.parametrize("encoding", KERNELS.values(), ids=KERNELS)

ORDINARY = ordinary(most=20)
ROWS = ORDINARY | weird()
WEIGHED = weighed(ORDINARY)


def blocks_of(encoding, weight, importance=None):
    return encoding.encode(weight, importance)["blocks"]


def error(weight, decoded, importance=None):
    """Relative root of the (weighted) mean square error."""
    share = 1.0 if importance is None else importance.double().sqrt()
    norm = (share * weight.double()).norm()
    missed = (share * (decoded.view(weight.shape).double() - weight)).norm()
    return float(missed / norm) if norm else 0.0


@every
@pytest.mark.parametrize("shape", [(512,), (3, 256), (2, 3, 768), (0, 256)])
def test_that_what_is_stored_is_what_the_layout_promised(encoding, shape):
    parts = encoding.encode(torch.randn(shape))
    promised = {part.name: part.shape for part in encoding.layout(shape)}
    assert {name: tuple(part.shape) for name, part in parts.items()} == promised
    assert sum(part.nbytes for part in parts.values()) == encoding.nbytes(shape)
    assert encoding.decode(parts, shape).shape == shape


@every
def test_that_rows_that_do_not_divide_into_blocks_are_refused(encoding):
    if encoding.block > 1:
        with pytest.raises(ValueError, match=encoding.name):
            encoding.encode(torch.zeros(2, encoding.block + 1))


@every
def test_that_the_number_in_files_finds_the_encoding(encoding):
    assert BLOCK_BY_ID[encoding.ggml_id] is encoding


@every
def test_that_any_slicing_gives_the_same_bytes(encoding):
    weight = ROWS["student t"]
    whole = blocks_of(encoding, weight)
    for rows in (1, 3, 17):
        slices = [blocks_of(encoding, some) for some in weight.split(rows)]
        assert torch.cat(slices).equal(whole)
    single = weight.view(-1, encoding.block)[5:6]  # a block alone, and as one of many
    assert blocks_of(encoding, single).view(-1).equal(whole.view(-1, encoding.block_bytes)[5])


@every
def test_that_threads_do_not_disturb_each_other(encoding):
    weight = ROWS["normal"]
    with ThreadPoolExecutor(4) as pool:
        slices = list(pool.map(lambda some: blocks_of(encoding, some), weight.split(4)))
    assert torch.cat(slices).equal(blocks_of(encoding, weight))


@every
def test_that_the_memory_layout_of_a_weight_does_not_matter(encoding):
    weight = ROWS["normal"][:, :256]
    turned = weight.t().contiguous().t()
    assert not weight.is_contiguous()
    assert blocks_of(encoding, weight).equal(blocks_of(encoding, weight.clone()))
    assert blocks_of(encoding, turned).equal(blocks_of(encoding, weight.clone()))
    assert weight.equal(ROWS["normal"][:, :256])


@every
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_that_numbers_that_are_none_are_refused(encoding, value):
    for place in (0, 700, 1023):
        weight = torch.randn(2, 1024)
        weight[1, place] = value
        with pytest.raises(NotFinite):
            encoding.encode(weight)


@with_kernels
def test_that_weights_beyond_the_scale_are_refused(encoding):
    weight = torch.randn(1, 512)
    weight[0, 300] = -3e38
    with pytest.raises(Overflow, match=r"contains 3e\+38"):
        encoding.encode(weight)
    weight[0, 300] = -0.9 * encoding.largest
    assert blocks_of(encoding, weight).numel()


@pytest.mark.parametrize(
    ("name", "fits", "too_large"), [("F16", 65519, 65520), ("BF16", 3.389e38, 3.4e38)]
)
def test_that_floats_beyond_the_type_are_refused(name, fits, too_large):
    encoding = ENCODINGS[name]
    stored = encoding.encode(torch.tensor([[-fits]]))
    assert encoding.decode(stored, (1, 1)) == -encoding.largest
    with pytest.raises(Overflow):
        encoding.encode(torch.tensor([[too_large]]))


def errors_here_and_there(encoding, weight, importance=None):
    """With the kernels and with torch; and whether their blocks are the same."""
    blocks = blocks_of(encoding, weight, importance)
    columns = usable(importance, weight.shape[-1])
    if columns is not None:
        columns = columns.expand(weight.shape).reshape(-1, encoding.block)
    there = encoding.encode_torch(weight.view(-1, encoding.block), columns)
    here = error(weight, encoding.decode({"blocks": blocks}, tuple(weight.shape)), importance)
    same = there.view(-1).equal(blocks.view(-1))
    return here, error(weight, encoding.decode_torch(there), importance), same


@with_kernels
@pytest.mark.parametrize("kind", ROWS)
def test_that_torch_and_the_kernels_agree(encoding, kind):
    here, there, same = errors_here_and_there(encoding, ROWS[kind])
    assert same or encoding.name not in SAME_WITHOUT
    # In weird rows many grids are equally good, and which one wins is a matter of rounding.
    assert abs(there - here) <= (1e-3 * here if kind in ORDINARY else 0.1 * here + 2**-10)


@with_kernels
@pytest.mark.parametrize("kind", WEIGHED)
def test_that_torch_and_the_kernels_agree_on_what_is_important(encoding, kind):
    here, there, same = errors_here_and_there(encoding, *WEIGHED[kind])
    assert same or encoding.name not in SAME_WITH
    # A few heavy columns can outweigh the rest, so that fewer choices even out.
    assert abs(there - here) <= 2e-3 * here


@pytest.mark.parametrize("name", SEARCHED_WITH)
def test_that_important_columns_are_nearer(name):
    encoding = ENCODINGS[name]
    for weight, importance in WEIGHED.values():
        with_it, without = (
            encoding.decode(encoding.encode(weight, some), tuple(weight.shape))
            for some in (importance, None)
        )
        if without.any():  # NVFP4 has no scale for small weights
            assert error(weight, with_it, importance) < error(weight, without, importance)


@pytest.mark.parametrize("name", SEARCHED_WITH)
def test_that_each_row_meets_the_same_importances(name):
    encoding = ENCODINGS[name]
    importance = importances()["log normal"]
    weight = ROWS["normal"][:12]
    whole = blocks_of(encoding, weight, importance)
    rows = [blocks_of(encoding, row, importance) for row in weight.split([1, 4, 7])]
    assert torch.cat(rows).equal(whole)
    assert blocks_of(encoding, weight, 4 * importance).equal(whole)
    there = encoding._encode_there(weight.view(-1), usable(importance, weight.shape[-1]))
    agreed = encoding.decode({"blocks": there}, tuple(weight.shape))
    ours = encoding.decode({"blocks": whole}, tuple(weight.shape))
    here = error(weight, ours, importance)
    assert error(weight, agreed, importance) == pytest.approx(here, rel=1e-3)


@with_kernels
def test_that_other_devices_are_as_careful(encoding):
    weight = torch.randn(2048)
    assert encoding._encode_there(weight, None).numel() == encoding.nbytes((2048,))
    weight[1999] = 3e38
    with pytest.raises(Overflow):
        encoding._encode_there(weight, None)
    weight[1999] = torch.nan
    with pytest.raises(NotFinite):
        encoding._encode_there(weight, None)


def test_that_more_bits_are_nearer():
    weight = ROWS["normal"]
    errors = [
        error(weight, enc.decode(enc.encode(weight), tuple(weight.shape)))
        for enc in sorted(ENCODINGS.values(), key=lambda enc: enc.bits)
        if enc.name in {"Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16", "F32"}
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == 0


def test_that_super_blocks_beat_small_blocks_of_the_same_size():
    weight = ROWS["layers.0.mlp.up_proj"]
    errors = {
        name: error(weight, enc.decode(enc.encode(weight), tuple(weight.shape)))
        for name, enc in ENCODINGS.items()
    }
    assert errors["Q4_K"] < 0.9 * errors["Q4_0"]
    assert errors["Q5_K"] < 0.9 * errors["Q5_0"]


def test_that_warming_up_names_only_what_is_compiled():
    assert list(warm_up({"Q8_0", "F32", "Q4_K"})) == ["Q4_K", "Q8_0"]
