from collections import defaultdict

import pytest
import torch
from checkpoint_models import HYBRID, MIXTURES, CheckpointSource, random_family
from random_models import drain

from app.calibration.checkpoint import LayerCheckpoint
from app.calibration.collectors import Collected, Collector, Statistic, SumOfSquares
from app.calibration.engine import collect
from app.calibration.multiplications import watching
from app.core.errors import BadModelFile, Unsupported
from app.models.layerwise import Place
from app.models.scratch import Scratch

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOWS, LENGTH = 3, 24
TOKENS = WINDOWS * LENGTH

#: Families that differ in how they multiply.
DENSE = ("bloom", "falcon", "gemma2", "gpt2", "gptj", "llama", "minicpm3", "mpt", "phi", "phi3")
WAYS = (*DENSE, *HYBRID, *MIXTURES)

#: Matrices that are not multiplied with: lookups, convolutions, decays, biases of experts.
UNUSED = ("embed", "wte", "wpe", "conv", "A_log", "_bias", "decay", "slope_rate")


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(2)
    return torch.randint(3, 160, (WINDOWS, LENGTH), generator=generator)


def collected(model, tokens, collector=None):
    return drain(collect(CheckpointSource(model), tokens, collector or SumOfSquares(), Place()))[1]


def hooked_squares(model, tokens):
    """Sums of squares of what plain hooks see in the full model, by the name of the module."""
    sums = defaultdict(lambda: 0)

    def hook(name):
        def see(_module, args):
            sums[name] = sums[name] + args[0].flatten(0, -2).double().square().sum(0)

        return see

    kinds = ("Linear", "Conv1D", "FalconLinear")
    for name, module in model.named_modules():
        if type(module).__name__ in kinds:
            module.register_forward_pre_hook(hook(name))
    with torch.no_grad():
        model(tokens)
    return sums


@pytest.mark.parametrize("family", WAYS)
def test_that_matrices_are_given_what_hooks_on_the_full_model_see(family, tokens):
    model = random_family(family)
    source = CheckpointSource(model)
    _, found = drain(collect(source, tokens, SumOfSquares(), Place()))
    expected = hooked_squares(model, tokens)
    places = {tensor.data_ptr(): name for name, tensor in source.tensors.items()}
    compared = 0
    for name, sums in expected.items():
        stored = places.get(model.get_parameter(f"{name}.weight").data_ptr())
        if stored is not None:
            ((matrix, statistic),) = found.of(stored)
            assert (matrix, statistic.tokens) == (0, TOKENS)
            assert (statistic.value - sums).abs().max() <= 1e-4 * sums.max()
            compared += 1
    assert compared >= 3
    for name, tensor in source.tensors.items():
        if tensor.ndim > 1 and not any(part in name for part in (*UNUSED, "experts")):
            assert name in found


def routed(experts, tokens, model):
    """What the experts' module is given in the full model: inputs and chosen experts, by token."""
    calls = []

    def see(_module, args, kwargs):
        calls.append([*args, *kwargs.values()])

    experts.register_forward_pre_hook(see, with_kwargs=True)
    with torch.no_grad():
        model(tokens)
    inputs, chosen = calls[0][:2]
    inputs = inputs.flatten(0, -2)
    return inputs, chosen.reshape(len(inputs), -1)


def expert_statistic(found, family, expert, part):
    """What is known of a matrix of one expert of the second layer."""
    if family == "gpt_oss":
        name = {"gate": "gate_up_proj", "down": "down_proj"}[part]
        return dict(found.of(f"model.layers.1.mlp.experts.{name}")).get(expert)
    if family == "mixtral":
        matrix = {"gate": "w1", "down": "w2"}[part]
        name = f"block_sparse_moe.experts.{expert}.{matrix}"
    else:
        name = f"mlp.experts.{expert}.{part}_proj"
    return dict(found.of(f"model.layers.1.{name}.weight")).get(0)


def assert_squares_of(rows, statistic):
    if not len(rows):
        assert statistic is None
        return
    expected = rows.double().square().sum(0)
    assert statistic.tokens == len(rows)
    assert (statistic.value - expected).abs().max() <= 1e-4 * expected.max()


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "deepseek_v3", "glm4_moe", "gpt_oss"])
def test_that_experts_are_given_the_tokens_routed_to_them(family, tokens):
    model = random_family(family)
    found = collected(model, tokens)
    experts = model.model.layers[1].mlp.experts
    inputs, chosen = routed(experts, tokens, model)
    for expert in range(len(experts.gate_up_proj)):
        rows = inputs[(chosen == expert).any(1)]
        assert_squares_of(rows, expert_statistic(found, family, expert, "gate"))


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe", "deepseek_v3", "glm4_moe"])
def test_that_the_second_matrix_of_an_expert_is_given_what_the_first_ones_make(family, tokens):
    model = random_family(family)
    found = collected(model, tokens)
    experts = model.model.layers[1].mlp.experts
    inputs, chosen = routed(experts, tokens, model)
    for expert, both in enumerate(experts.gate_up_proj.detach()):
        gate, up = (inputs[(chosen == expert).any(1)] @ both.T).chunk(2, -1)
        rows = torch.nn.functional.silu(gate) * up
        assert_squares_of(rows, expert_statistic(found, family, expert, "down"))


@pytest.mark.parametrize("family", ["granitemoe", "llama4_text", "gpt_oss"])
def test_that_experts_stored_together_are_told_apart(family, tokens):
    found = collected(random_family(family), tokens)
    stacks = [name for name in found.names() if dict(found.of(name)).keys() - {0}]
    assert len(stacks) == 4
    counts = [{m: statistic.tokens for m, statistic in found.of(name)} for name in stacks]
    assert counts[0] == counts[1]
    assert counts[2] == counts[3]
    assert sum(counts[0].values()) == 2 * TOKENS  # two experts a token


def test_that_an_expert_that_no_token_reached_has_no_statistic():
    model = random_family("qwen3_moe", num_local_experts=32)
    found = collected(model, torch.full((1, 4), 7))
    seen = [n for n in found.names() if "layers.0.mlp.experts" in n and "gate_proj" in n]
    assert 2 <= len(seen) <= 8


class LargestInput(Collector):
    """The largest absolute value of each column, as other methods will ask for it."""

    def measure(self, rows):
        return rows.abs().amax(0)

    def merge(self, one, other):
        return torch.maximum(one, other)


def test_that_another_statistic_needs_nothing_but_its_own_class(tokens):
    model = random_family("llama")
    seen = []
    model.model.layers[0].mlp.down_proj.register_forward_pre_hook(
        lambda _m, args: seen.append(args[0].flatten(0, -2).abs().amax(0))
    )
    found = collected(model, tokens, LargestInput())
    with torch.no_grad():
        model(tokens)
    ((_, statistic),) = found.of("model.layers.0.mlp.down_proj.weight")
    assert (statistic.value - seen[0]).abs().max() < 1e-5


def test_that_statistics_of_two_halves_are_those_of_the_whole(tokens):
    model = random_family("qwen3_moe")
    whole, half = collected(model, tokens), collected(model, tokens[:1])
    half.merge(collected(model, tokens[1:]))
    assert set(half.names()) == set(whole.names())
    for name in whole.names():
        parts = dict(half.of(name))
        for matrix, statistic in whole.of(name):
            assert parts[matrix].tokens == statistic.tokens
            difference = (parts[matrix].value - statistic.value).abs().max()
            assert difference <= 1e-4 * statistic.value.max()


def test_that_what_is_computed_twice_counts_once(tokens, monkeypatch):
    """A device that is full after half of a layer: the layer's start is computed again."""
    model = random_family("llama")
    expected = collected(model, tokens)
    place = Place()
    place.device = "pretended:0"
    real = torch.nn.functional.silu
    calls = []

    def silu(x, **options):
        calls.append(len(x))
        if place.device != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(x, **options)

    monkeypatch.setattr(torch.nn.functional, "silu", silu)
    monkeypatch.setattr("app.models.layerwise.moved", lambda value, device: value)
    monkeypatch.setattr("app.calibration.engine.moved", lambda value, device: value)
    _, found = drain(collect(CheckpointSource(model), tokens, SumOfSquares(), place))
    assert calls[:3] == [3, 2, 1]
    assert place.full == "pretended:0"
    for name in expected.names():
        assert dict(found.of(name))[0].tokens == TOKENS


def test_that_closing_stops_between_slices_of_a_layer(tokens):
    steps = collect(CheckpointSource(random_family("llama")), tokens, SumOfSquares(), Place())
    first = next(steps)
    assert (first.done, first.total) == (3, 9)
    steps.close()


@pytest.mark.parametrize("on_disk", [False, True])
def test_that_a_run_that_was_cut_off_goes_on_behind_its_last_layer(tokens, tmp_path, on_disk):
    model = random_family("llama")
    kept = LayerCheckpoint(tmp_path / "kept.layers", seconds=0)
    place = Place(scratch=Scratch(tmp_path) if on_disk else Scratch())
    running = collect(CheckpointSource(model), tokens, SumOfSquares(), place, kept)
    begun = next(running)
    while "layer 2" not in next(running).item:
        pass
    running.close()
    steps, again = drain(collect(CheckpointSource(model), tokens, SumOfSquares(), place, kept))
    assert [path.name for path in tmp_path.iterdir()] == ["kept.layers"]
    assert begun.item.startswith("layer 1 ")
    assert steps[0].item.startswith("layer 2 ")
    assert steps[-1].done == steps[-1].total
    whole = collected(model, tokens)
    assert set(again.names()) == set(whole.names())
    for name in whole.names():
        for (_, one), (_, other) in zip(again.of(name), whole.of(name), strict=True):
            assert one.tokens == other.tokens
            assert one.value.equal(other.value)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 3), torch.float64), ((3, 2), torch.float32), ((6,), torch.float32)]
)
def test_that_hidden_states_of_another_form_are_left_alone(tmp_path, shape, dtype):
    kept, none = LayerCheckpoint(tmp_path / "kept", seconds=0), Collected(SumOfSquares())
    kept.save(1, torch.ones(2, 3), none)
    state = kept.load(SumOfSquares())
    hidden = torch.zeros(shape, dtype=dtype)
    assert not state.restore(hidden)
    assert not hidden.any()
    right = torch.zeros(2, 3)
    assert state.restore(right)
    assert torch.equal(right, torch.ones(2, 3))


@pytest.mark.parametrize("damage", [b"", b"no state", b"\xff" * 64])
def test_that_a_damaged_state_is_not_used(damage, tokens, tmp_path):
    path = tmp_path / "kept.layers"
    path.write_bytes(damage)
    source, kept = CheckpointSource(random_family("llama")), LayerCheckpoint(path, seconds=0)
    steps, _ = drain(collect(source, tokens, SumOfSquares(), Place(), kept))
    assert steps[0].item.startswith("layer 1 ")
    kept.forget()
    assert not list(tmp_path.iterdir())


def test_that_state_is_not_kept_all_the_time(tokens, tmp_path):
    source, kept = CheckpointSource(random_family("llama")), LayerCheckpoint(tmp_path / "kept")
    drain(collect(source, tokens, SumOfSquares(), Place(), kept))
    assert not list(tmp_path.iterdir())


def test_that_a_damaged_model_is_named_instead_of_giving_no_numbers(tokens):
    source = CheckpointSource(random_family("llama"))
    source.tensors["model.layers.0.mlp.up_proj.weight"][3, 5] = torch.nan
    with pytest.raises(BadModelFile, match="not numbers"):
        drain(collect(source, tokens, SumOfSquares(), Place()))


def test_that_tokens_that_the_model_does_not_have_are_refused(tokens):
    tokens[1, 5] = 160
    with pytest.raises(Unsupported, match="more words"):
        collected(random_family("llama"), tokens)


X = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("multiply", "matrices"),
    [
        (lambda w, x: torch.nn.functional.linear(x, w), 1),
        (lambda w, x: x @ w.T, 1),
        (lambda w, x: torch.matmul(x[None], w.mT), 1),
        (lambda w, x: torch.addmm(torch.zeros(4), x, w.T), 1),
        (lambda w, x: w @ x.T, 1),
        (lambda w, x: torch.nn.functional.linear(x, w[1]), 3),
        (lambda w, x: torch.bmm(x.expand(3, 5, 8), w.mT), 3),
        (lambda w, x: x @ w.mT, 3),
    ],
)
def test_that_every_way_to_multiply_is_seen(multiply, matrices):
    weight = torch.ones(4, 8) if matrices == 1 else torch.ones(matrices, 4, 8)
    seen = []
    with watching({"w": weight, "other": torch.ones(4, 8)}, lambda *seen_: seen.append(seen_)):
        multiply(weight, X)
    assert {name for name, _, _ in seen} == {"w"}
    assert [matrix for _, matrix, _ in seen] in ([0], [1], [0, 1, 2])
    for _, _, rows in seen:
        assert torch.equal(rows, X)


def test_that_experts_given_zeros_are_not_counted():
    weight = torch.ones(2, 8, 4)
    routed_rows = torch.stack([X, X * torch.tensor([1, 0, 0, 1, 0])[:, None]])
    seen = {}
    with watching({"w": weight}, lambda _name, matrix, rows: seen.update({matrix: rows})):
        torch.bmm(routed_rows, weight)
    assert torch.equal(seen[0], X)
    assert torch.equal(seen[1], X[[0, 3]])


def test_that_products_without_a_weight_are_not_reported():
    seen = []
    with watching({"w": torch.ones(4, 8), "bias": torch.ones(8)}, lambda *a: seen.append(a)):
        X @ X.T
        torch.nn.functional.linear(X, torch.ones(3, 8))
    assert not seen


def test_that_merging_adds_tokens_and_values():
    one, other = Collected(SumOfSquares()), Collected(SumOfSquares())
    one.add("a", 0, Statistic(2, torch.tensor([1.0, 2.0])))
    other.add("a", 0, Statistic(3, torch.tensor([10.0, 20.0])))
    other.add("a", 4, Statistic(1, torch.tensor([5.0, 5.0])))
    one.merge(other)
    found = dict(one.of("a"))
    assert found[0].tokens == 5
    assert found[0].value.tolist() == [11, 22]
    assert found[4].tokens == 1
