"""Sums over parts of the vocabulary against the definitions, over all of it."""

from __future__ import annotations

import pytest
import torch

from app.evaluation.tally import Part, Tally

POSITIONS, VOCABULARY = 50, 97


@pytest.mark.parametrize("spread", [0.1, 3.0, 200.0])
@pytest.mark.parametrize("width", [1, 10, 96, 97])
def test_that_parts_add_up_to_what_is_defined(spread, width):
    some = torch.Generator().manual_seed(4)
    before = spread * torch.randn(POSITIONS, VOCABULARY, generator=some)
    after = before + 0.3 * torch.randn(POSITIONS, VOCABULARY, generator=some)
    following = torch.randint(0, VOCABULARY, (POSITIONS,), generator=some)
    tally = Tally(POSITIONS)
    for first in range(0, VOCABULARY, width):
        for start in range(0, POSITIONS, 20):
            at = slice(start, start + 20)
            columns = slice(first, first + width)
            logits = before[at, columns].clone(), after[at, columns].clone()
            tally.add(start, min(POSITIONS, start + 20), Part.of(*logits, following[at], first))
    log_p, log_q = before.double().log_softmax(-1), after.double().log_softmax(-1)
    kl = (log_p.exp() * (log_p - log_q)).sum(-1)
    assert tally.kl.allclose(kl, rtol=1e-4, atol=1e-5 * spread)
    for found, wanted in ((tally.loss_before, log_p), (tally.loss_after, log_q)):
        assert found.allclose(-wanted.gather(1, following[:, None])[:, 0], rtol=1e-5, atol=1e-4)
    assert tally.same_top.equal((before.argmax(-1) == after.argmax(-1)).double())
