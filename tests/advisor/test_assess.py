"""The word, and what stands behind it."""

import itertools
from dataclasses import replace

import pytest
from computers import GB, card, computer, part

from app.advisor import Layer, MeasuredFits, assess, make_demand
from app.advisor.measured import Kind, Load
from app.core.fit import Fit, FitOptions, FitWord
from app.models.cache import geometry_of_config

CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
SIZES = [(f"blk.{index}.ffn_up.weight", 130_000_000) for index in range(32)]
MODEL = make_demand(
    "Q4_K_M",
    [*SIZES, ("token_embd.weight", 300_000_000), ("output.weight", 430_000_000)],
    geometry_of_config(CONFIG),
)
"""An 8 B model of 4.9 GB."""
MIXTURE = replace(
    MODEL,
    layers=(Layer(130_000_000, 110_000_000),) * 32,
    geometry=geometry_of_config(
        {**CONFIG, "model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2}
    ),
)
USUAL = FitOptions()
ORDER = [FitWord.NOT, FitWord.MEMORY, FitWord.PARTLY, FitWord.TIGHT, FitWord.FITS]


def test_that_parts_of_a_model_are_told_apart_by_the_names_of_both_worlds():
    names = [
        ("model.embed_tokens.weight", 1),
        ("model.layers.0.self_attn.q_proj.weight", 2),
        ("model.layers.0.mlp.experts.7.up_proj.weight", 4),
        ("model.layers.0.mlp.shared_experts.up_proj.weight", 8),
        ("model.layers.1.mlp.up_proj.weight", 16),
        ("model.norm.weight", 32),
        ("lm_head.weight", 64),
        ("model.visual.blocks.3.mlp.weight", 128),
        ("v.blk.0.attn_q.weight", 256),
    ]
    found = make_demand("x", names, None, "why")
    assert found.layers == (Layer(14, 4), Layer(16, 0))
    assert (found.embedding, found.output, found.tied) == (1, 96, False)
    assert found.projector == 384
    assert found.weights == 127
    tied = make_demand("x", [("token_embd.weight", 5), ("blk.0.ffn_up_exps.weight", 7)], None)
    assert tied.tied
    assert tied.layers == (Layer(7, 7),)


def test_that_weights_of_layers_that_nobody_announced_are_counted():
    more = replace(MODEL, layers=(*MODEL.layers, Layer(GB)))
    for machine in (computer(16 * GB), computer(16 * GB, card(24 * GB))):
        fit = assess(more, machine, USUAL)
        assert fit.layers == 33
        assert fit.total - assess(MODEL, machine, USUAL).total == GB


def test_that_more_memory_never_makes_the_word_worse():
    words = [assess(MODEL, computer(16 * GB, card(size * GB)), USUAL).word for size in range(1, 24)]
    ranks = [ORDER.index(word) for word in words]
    assert ranks == sorted(ranks)
    assert {FitWord.PARTLY, FitWord.TIGHT, FitWord.FITS} <= set(words)
    words = [assess(MODEL, computer(size * GB), USUAL).word for size in range(1, 16)]
    assert [ORDER.index(word) for word in words] == sorted(ORDER.index(word) for word in words)
    assert set(words) == {FitWord.NOT, FitWord.MEMORY}


def test_that_the_word_is_decided_by_the_most_that_it_may_take():
    wide = assess(MODEL, computer(64 * GB), USUAL)
    assert assess(MODEL, computer(wide.high), USUAL).word is FitWord.MEMORY
    assert assess(MODEL, computer(wide.high - 1), USUAL).word is FitWord.NOT
    assert wide.low < wide.total < wide.high


def test_that_the_reserve_is_left_to_others():
    wide = assess(MODEL, computer(64 * GB), USUAL)
    options = replace(USUAL, reserve=GB)
    assert assess(MODEL, computer(wide.high + GB), options).word is FitWord.MEMORY
    assert assess(MODEL, computer(wide.high + GB - 1), options).word is FitWord.NOT


@pytest.mark.parametrize(
    "machine",
    [
        computer(16 * GB, card(8 * GB)),
        computer(16 * GB, card(6 * GB)),
        computer(8 * GB),
        computer(16 * GB, part(12 * GB)),
        computer(16 * GB, card(4 * GB), card(4 * GB)),
    ],
)
@pytest.mark.parametrize("cache_type", ["f16", "q8_0"])
def test_that_the_longest_context_is_the_longest(machine, cache_type):
    options = replace(USUAL, cache_type=cache_type, context=512)
    fit = assess(MODEL, machine, options)
    at = assess(MODEL, machine, replace(options, context=fit.largest_context))
    beyond = assess(MODEL, machine, replace(options, context=fit.largest_context + 256))
    everything = {FitWord.FITS, FitWord.TIGHT}
    assert at.word is fit.word or {at.word, fit.word} <= everything
    longest = fit.largest_context == CONFIG["max_position_embeddings"]
    assert longest or ORDER.index(beyond.word) < ORDER.index(at.word)


def test_that_layers_move_to_the_card_as_it_grows():
    fits = [assess(MODEL, computer(16 * GB, card(size * GB // 2)), USUAL) for size in range(3, 17)]
    assert [fit.layers_on_gpu for fit in fits] == sorted(fit.layers_on_gpu for fit in fits)
    assert fits[-1].layers_on_gpu == fits[-1].layers == 32
    partly = [fit for fit in fits if fit.word is FitWord.PARTLY]
    assert partly
    assert all(0 < fit.layers_on_gpu < 32 for fit in partly)
    assert all(fit.placement[0][2] < fit.budget for fit in partly)


def test_that_several_cards_are_filled_in_order():
    fit = assess(MODEL, computer(16 * GB, card(4 * GB), card(5 * GB)), USUAL)
    assert fit.word in {FitWord.FITS, FitWord.TIGHT}
    (first, layers, _), (second, others, _), (memory, none, _) = fit.placement
    assert (first, second, memory, none) == ("Card 4", "Card 5", "Memory", 0)
    assert layers > 0
    assert layers + others == 32


def test_that_shared_memory_is_not_counted_twice():
    alone = assess(MODEL, computer(64 * GB), USUAL)
    unified = assess(MODEL, computer(alone.high * 3 // 4, part(64 * GB)), USUAL)
    assert unified.word is FitWord.NOT
    fits = assess(MODEL, computer(16 * GB, part(12 * GB)), USUAL)
    assert fits.word is FitWord.FITS
    # a card with memory of its own is used alone
    mixed = assess(MODEL, computer(32 * GB, part(16 * GB), card(12 * GB)), USUAL)
    assert [row[0] for row in mixed.placement] == ["Card 12", "Memory"]


def test_that_experts_in_memory_make_room_on_the_card():
    machine = computer(16 * GB, card(4 * GB))
    assert assess(MIXTURE, machine, USUAL).word is FitWord.PARTLY
    fit = assess(MIXTURE, machine, replace(USUAL, experts_in_memory=True))
    assert fit.word in {FitWord.FITS, FitWord.TIGHT}
    in_memory = next(row for row in fit.placement if row[0] == "Memory")
    assert in_memory[2] > 32 * 110_000_000


def test_that_all_weights_must_live_somewhere_and_only_speed_uses_few_experts():
    dense = assess(replace(MIXTURE, layers=MODEL.layers), computer(16 * GB), USUAL)
    mixture = assess(MIXTURE, computer(16 * GB), USUAL)
    assert mixture.needs == dense.needs
    assert mixture.tokens_per_second[0] > 1.5 * dense.tokens_per_second[0]


def test_that_a_tied_output_is_copied_to_the_card():
    tied = replace(MODEL, tied=True, output=0)
    machine = computer(16 * GB, card(24 * GB))
    own, copied = (assess(demand, machine, USUAL) for demand in (replace(MODEL, output=0), tied))
    assert copied.total - own.total == MODEL.embedding


def test_that_pictures_are_a_row_of_their_own():
    plain = assess(MODEL, computer(16 * GB), USUAL)
    seeing = assess(replace(MODEL, projector=GB), computer(16 * GB), USUAL)
    assert "Pictures" not in {need.name for need in plain.needs}
    pictures = next(need for need in seeing.needs if need.name == "Pictures")
    assert seeing.total - plain.total == pictures.nbytes
    assert pictures.nbytes > GB


def test_that_two_cures_are_told_apart():
    small = assess(MODEL, computer(4 * GB), USUAL)
    assert small.word is FitWord.NOT
    assert "smaller format" in small.reason
    long = assess(MODEL, computer(8 * GB), FitOptions(context=65536))
    assert long.word is FitWord.NOT
    assert "context is too long" in long.reason
    assert f"{long.largest_context:,}" in long.reason
    assert assess(MODEL, computer(8 * GB), FitOptions(long.largest_context)).word is FitWord.MEMORY


def test_that_closing_programs_is_said_to_help_where_it_does():
    fit = assess(MODEL, computer(2 * GB, total=16 * GB), USUAL)
    assert (fit.word, fit.word_after_closing) == (FitWord.NOT, FitWord.MEMORY)
    assert fit.budget < fit.budget_after_closing
    assert "closed" in fit.reason


def test_that_what_cannot_be_sized_gets_no_number():
    fit = assess(replace(MODEL, geometry=None, unknown="Never seen."), computer(64 * GB), USUAL)
    assert (fit.word, fit.reason, fit.high) == (FitWord.UNKNOWN, "Never seen.", 0)
    odd = geometry_of_config({**CONFIG, "head_dim": 80})
    fit = assess(replace(MODEL, geometry=odd), computer(64 * GB), FitOptions(cache_type="q8_0"))
    assert fit.word is FitWord.UNKNOWN
    assert "q8_0" in fit.reason
    assert assess(MODEL, computer(64 * GB), FitOptions(cache_type="q3")).word is FitWord.UNKNOWN


def test_that_speed_follows_the_memory_that_is_read():
    fast = assess(MODEL, computer(16 * GB, card(24 * GB, bandwidth=1000e9)), USUAL)
    slow = assess(MODEL, computer(16 * GB, card(24 * GB, bandwidth=500e9)), USUAL)
    partly = assess(MODEL, computer(16 * GB, card(4 * GB, bandwidth=1000e9)), USUAL)
    only = assess(MODEL, computer(16 * GB), USUAL)
    speeds = [fit.tokens_per_second for fit in (fast, slow, partly, only)]
    for faster, slower in itertools.pairwise(speeds):
        assert faster[0] > slower[0]
        assert faster[1] > slower[1]
    # no token can be written faster than its weights are read once
    assert only.tokens_per_second[1] < 40e9 / (MODEL.weights - MODEL.embedding)
    assert assess(MODEL, computer(16 * GB, bandwidth=0.0), USUAL).tokens_per_second is None


def test_that_an_answer_survives_the_border_between_processes():
    for machine in (computer(2 * GB), computer(16 * GB, card(6 * GB))):
        fit = assess(MODEL, machine, USUAL)
        assert Fit.from_json(fit.to_json()) == fit


def test_that_real_loads_correct_the_estimate_and_narrow_it(tmp_path):
    store = MeasuredFits(tmp_path / "measured.json")
    kind = Kind("Memory", "cpu", "llama")
    before = assess(MODEL, computer(64 * GB), USUAL, store)
    assert before == assess(MODEL, computer(64 * GB), USUAL)
    for excess in (90, 100, 110):
        store.add(kind, Load(5 * GB, 5 * GB + excess * 10**6))
    again = MeasuredFits(tmp_path / "measured.json")  # from the disk
    after = assess(MODEL, computer(64 * GB), USUAL, again)
    assert (after.low + after.high) // 2 - (before.low + before.high) // 2 == pytest.approx(
        100e6, abs=2
    )
    assert after.high - after.low < before.high - before.low
    assert after.high - after.low >= 2 * 10 * 10**6
    # other families and devices stay as they were
    other = replace(MODEL, geometry=replace(MODEL.geometry, family="qwen3"))
    assert assess(other, computer(64 * GB), USUAL, again).high == before.high


def test_that_a_damaged_store_counts_as_empty_and_is_replaced(tmp_path):
    path = tmp_path / "measured.json"
    for content in (b"", b"{", b"[1]", b'[{"device": 1}]', b'[{"loads": 3}]', b"\xff"):
        path.write_bytes(content)
        store = MeasuredFits(path)
        assert store.correction(Kind("Memory", "cpu", "llama")).loads == 0
        store.add(Kind("Memory", "cpu", "llama"), Load(1, 2))
        assert MeasuredFits(path).correction(Kind("Memory", "cpu", "llama")).offset == 1
