import pytest
import torch
from weight_rows import ordinary

from app.encodings import ENCODINGS
from app.encodings.block_grids import BLOCK_GRIDS


@pytest.mark.parametrize("name", BLOCK_GRIDS)
def test_that_a_grid_and_its_codes_are_what_ggml_reads(name, read_as_ggml):
    encoding, kind = ENCODINGS[name], BLOCK_GRIDS[name]
    blocks = encoding.encode(ordinary()["normal"])["blocks"].view(-1, encoding.block_bytes)
    step, offset = kind.read(blocks)
    codes = torch.randint(
        kind.lowest, kind.highest + 1, (len(blocks), encoding.block), dtype=torch.int32
    )
    codes[0, :2] = torch.tensor([kind.lowest, kind.highest])
    read = read_as_ggml(name, kind.write(blocks, codes)).view(*step.shape, -1)
    expected = codes.view_as(read) * step[..., None] + offset[..., None]
    torch.testing.assert_close(read, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", BLOCK_GRIDS)
@pytest.mark.parametrize("weights", ["off center", "student t"])
def test_that_the_nearest_codes_are_those_that_were_there(name, weights):
    encoding, kind, weight = ENCODINGS[name], BLOCK_GRIDS[name], ordinary()[weights]
    blocks = encoding.encode(weight)["blocks"].view(-1, encoding.block_bytes)
    step, offset = kind.read(blocks)
    sub_blocks = weight.reshape(*step.shape, -1)
    codes = ((sub_blocks - offset[..., None]) / step[..., None]).round()
    codes = codes.clamp(kind.lowest, kind.highest).to(torch.int32)
    again = kind.write(blocks, codes.view(-1, encoding.block))
    assert (again == blocks).float().mean() > 0.99  # ties, and scales not yet rounded
