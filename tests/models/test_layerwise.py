import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoint_models import FAMILIES, ODD, CheckpointSource, random_family
from random_models import LLAMA3_ROPE, TensorSource, drain, full_logits, random_model

from app.core.errors import BadModelFile, Unsupported
from app.models import layerwise
from app.models.layerwise import Place, in_slices, run_layers
from app.models.skeleton import Skeleton

pytestmark = pytest.mark.usefixtures("one_thread")

SPECIAL = {
    "llama with llama3 rope": {"rope_parameters": LLAMA3_ROPE},
    "qwen2 with tied output": {"tie_word_embeddings": True},
    "falcon with rope": {"alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
}
ON_A_DEVICE = ("llama", "qwen2", "qwen3", "mistral", "smollm3", "gemma2", "phi3", "olmo2")


@pytest.fixture
def tokens():
    return torch.randint(0, 160, (5, 32), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def model():
    return random_model("llama")


def streamed_logits(model, tokens):
    source = CheckpointSource(model)
    skeleton = Skeleton(source.config)
    _, (hidden,) = drain(run_layers(skeleton, [source], tokens, Place()))
    head = skeleton.head_weights(source)
    return torch.stack([skeleton.logits(head, window) for window in hidden])


@pytest.mark.parametrize("family", [*FAMILIES, *SPECIAL])
def test_that_layers_one_at_a_time_give_the_full_models_logits(family, tokens):
    model = random_family(family.split(maxsplit=1)[0], **SPECIAL.get(family, {}))
    expected = full_logits(model, tokens)
    assert expected.isfinite().all()
    assert expected.std() > 0.1
    assert torch.equal(streamed_logits(model, tokens), expected)


@pytest.mark.parametrize("kind", ODD)
def test_that_layers_that_share_more_than_hidden_states_are_refused(kind, tokens):
    model = random_family(kind, **ODD[kind])
    with pytest.raises(Unsupported, match="layer by layer"):
        streamed_logits(model, tokens)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_that_a_wrong_number_that_comes_once_is_no_verdict(model, tokens, monkeypatch, wrong):
    source, embed, calls = CheckpointSource(model), Skeleton.embed, []

    def embed_wrongly_once(self, weights, given):
        hidden, inputs = embed(self, weights, given)
        if len(calls) == wrong:
            cosines, sines = inputs[0].kwargs["position_embeddings"]
            changed = {**inputs[0].kwargs, "position_embeddings": (cosines + 1, sines)}
            inputs = [replace(one, kwargs=changed) for one in inputs]
        calls.append(wrong)
        return hidden, inputs

    def last_states():
        skeleton = Skeleton(source.config, max_layers=100)
        (states,) = drain(run_layers(skeleton, [source], tokens, Place()))[1]
        return states

    expected = last_states()
    monkeypatch.setattr(Skeleton, "embed", embed_wrongly_once)
    torch.testing.assert_close(last_states(), expected)


def test_that_two_sets_of_weights_go_through_one_pass(tokens):
    models = random_model("qwen3", seed=0), random_model("qwen3", seed=1)
    sources = [TensorSource(model) for model in models]
    skeleton = Skeleton(sources[0].config)
    steps, states = drain(run_layers(skeleton, sources, tokens, Place()))
    for model, source, hidden in zip(models, sources, states, strict=True):
        logits = skeleton.logits(skeleton.head_weights(source), hidden[3])
        assert (logits - full_logits(model, tokens)[3]).abs().max() < 1e-5
    assert steps[-1].done == steps[-1].total == 2 * 3 * 5


def test_that_logits_of_some_positions_are_those_of_the_whole(model, tokens):
    source = TensorSource(model)
    skeleton = Skeleton(source.config)
    _, (hidden,) = drain(run_layers(skeleton, [source], tokens, Place()))
    some = skeleton.logits(skeleton.head_weights(source), hidden[1, 7:12])
    assert (some - full_logits(model, tokens)[1, 7:12]).abs().max() < 1e-5


class CountingSource(TensorSource):
    """Remembers which of the tensors it gave away are still alive."""

    def __init__(self, model):
        super().__init__(model)
        self.alive = weakref.WeakValueDictionary()

    def weight(self, name):
        tensor = self.tensors[name].clone()
        self.alive[name] = tensor
        return tensor

    def rows(self, name, start, stop):
        return self.weight(name)[start:stop]

    def layers_alive(self):
        return {name.split(".")[2] for name in self.alive if ".layers." in name}


def test_that_only_one_layer_is_held_at_a_time(tokens):
    source = CountingSource(random_model("llama", num_hidden_layers=6))
    passing = run_layers(Skeleton(source.config), [source], tokens, Place())
    held = [source.layers_alive() for _ in passing]
    assert [len(layers) for layers in held] == [1] * len(held)
    assert set().union(*held) == {str(layer) for layer in range(6)}


def test_that_a_stopped_pass_lets_everything_go(model, tokens):
    source = CountingSource(model)
    passing = run_layers(Skeleton(source.config), [source], tokens, Place())
    next(passing)
    assert source.alive
    passing.close()
    assert not source.alive


def test_that_a_stopped_pass_leaves_gradients_as_they_were(model, tokens):
    source = TensorSource(model)
    passing = run_layers(Skeleton(source.config), [source], tokens, Place())
    next(passing)
    assert torch.is_grad_enabled()
    passing.close()


def test_that_a_missing_tensor_is_named(model, tokens):
    source = TensorSource(model)
    del source.tensors["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(BadModelFile, match=r"layers\.1\.mlp\.up_proj\.weight is missing"):
        drain(run_layers(Skeleton(source.config), [source], tokens, Place()))


def test_that_a_tensor_of_another_shape_is_named(model, tokens):
    source = TensorSource(model)
    source.tensors["model.norm.weight"] = torch.ones(63)
    with pytest.raises(BadModelFile, match=r"model\.norm\.weight does not have the shape"):
        drain(run_layers(Skeleton(source.config), [source], tokens, Place()))


@pytest.mark.parametrize("kind", ["no such model", None, 7, "bert", "clip", "t5", "gpt_sw3"])
def test_that_a_model_of_another_kind_is_refused(kind):
    with pytest.raises((Unsupported, BadModelFile)):
        Skeleton({"model_type": kind, "num_hidden_layers": 2, "hidden_size": 64})


@pytest.mark.parametrize(
    "field",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": -1},
        {"hidden_size": "many"},
        {"num_attention_heads": 0},
        {"hidden_size": -64},
        {"hidden_act": "no such function"},
        {"rope_parameters": {"rope_type": "no such rope"}},
        {"vocab_size": None},
        {"rms_norm_eps": []},
    ],
    ids=str,
)
@pytest.mark.timeout(20)
def test_that_a_config_that_makes_no_model_is_refused(model, field):
    with pytest.raises((BadModelFile, Unsupported)):
        Skeleton({**TensorSource(model).config, **field})


def test_that_a_config_cannot_bring_code_or_kernels(model, tokens, tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.chdir(tmp_path)
    source = TensorSource(model)
    source.config |= {
        "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"},
        "_attn_implementation_internal": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "attn_implementation": "someone/kernel",
        "quantization_config": {"quant_method": "gptq", "bits": 4},
        "_name_or_path": str(tmp_path),
        "trust_remote_code": True,
    }
    skeleton = Skeleton(source.config)
    assert skeleton.model.config._attn_implementation in {"sdpa", "eager"}
    assert not hasattr(skeleton.model.config, "quantization_config")
    assert type(skeleton.model).__module__.startswith("transformers.models.llama")
    assert not marker.exists()


def test_that_numbers_that_no_config_class_declares_are_known():
    source = CheckpointSource(random_family("qwen3_moe"))
    fields = type(random_family("qwen3_moe").config).__dataclass_fields__
    assert "head_dim" not in fields
    assert Skeleton(source.config).model.config.head_dim == 32


def test_that_infinity_is_understood_as_transformers_writes_it():
    config = CheckpointSource(random_family("bamba")).config
    config["time_step_limit"] = [0.0, {"__float__": "Infinity"}]
    assert Skeleton(config).model.config.time_step_limit[1] == float("inf")


class FullDevice:
    """A device, pretended on the host, that has room for `room` windows."""

    def __init__(self, monkeypatch, skeleton, room):
        self.place = Place()
        self.place.device = "pretended:0"
        self.sizes = []
        compute = skeleton.layer
        move = layerwise.moved

        def layer(index, weights, hidden, inputs):
            self.sizes.append((self.place.device, len(hidden)))
            if self.place.device != "cpu" and len(hidden) > room:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return compute(index, weights, hidden, inputs)

        monkeypatch.setattr(skeleton, "layer", layer)
        monkeypatch.setattr(layerwise, "moved", lambda value, device: move(value, "cpu"))


@pytest.mark.parametrize(("room", "device"), [(2, "pretended:0"), (0, "cpu")])
def test_that_a_full_device_means_smaller_slices_and_then_the_processor(
    model, tokens, monkeypatch, room, device
):
    source = TensorSource(model)
    skeleton = Skeleton(source.config)
    _, (expected,) = drain(run_layers(skeleton, [source], tokens, Place()))
    full = FullDevice(monkeypatch, skeleton, room)
    _, (hidden,) = drain(run_layers(skeleton, [source], tokens, full.place))
    assert (hidden - expected).abs().max() < 1e-5
    assert full.place.device == device
    assert full.place.full == ("" if room else "pretended:0")
    assert [size for _, size in full.sizes[:3]] == [5, 3, 2]


@pytest.mark.parametrize("family", ON_A_DEVICE)
def test_that_nothing_is_left_on_the_host_when_a_device_computes(family, tokens, monkeypatch):
    """The meta device stands for a real one: it refuses tensors from elsewhere, too."""
    monkeypatch.setattr(
        "transformers.masking_utils.find_packed_sequence_indices", lambda *_, **__: None
    )  # looks at values, which meta tensors do not have
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: torch.zeros(tensor.shape))
    source = CheckpointSource(random_family(family))
    skeleton = Skeleton(source.config)
    _, (hidden,) = drain(run_layers(skeleton, [source], tokens, Place("meta")))
    head = layerwise.moved(skeleton.head_weights(source), "meta")
    assert skeleton.logits(head, hidden[0].to("meta")).is_meta


@pytest.mark.gpu
def test_that_an_accelerator_computes_the_same(model, tokens):
    if not torch.accelerator.is_available():
        pytest.skip("no accelerator")
    source = TensorSource(model)
    skeleton = Skeleton(source.config)
    device = torch.accelerator.current_accelerator().type
    states = [
        drain(run_layers(skeleton, [source], tokens, Place(where)))[1][0]
        for where in ("cpu", device)
    ]
    assert (states[0] - states[1]).norm() < 1e-4 * states[0].norm()


def test_that_other_errors_are_not_taken_for_a_full_device():
    def compute(start, stop):
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        list(in_slices(4, 2, Place("meta"), compute))


@pytest.mark.parametrize("device", ["no such device", "cuda:77", "cpu:x"])
def test_that_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(Unsupported, match=device):
        Place(device)


def test_that_a_full_host_is_not_taken_for_a_full_device():
    def compute(start, stop):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(in_slices(4, 2, Place("cpu"), compute))


_LARGE = """
import psutil, torch
from app.models.layerwise import Place, run_layers
from app.models.skeleton import Skeleton

config = dict(model_type="llama", vocab_size=1000, hidden_size=1024, intermediate_size=4096,
              num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=8)
skeleton = Skeleton(config)
shapes = {name: p.shape for name, p in skeleton.model.named_parameters()}

class Made:
    names = shapes
    def weight(self, name):
        return torch.full(shapes[name], 0.01)

    def rows(self, name, start, stop):
        return self.weight(name)[start:stop]

tokens = torch.zeros((2, 16), dtype=torch.int64)
process = psutil.Process()
for _ in run_layers(Skeleton({**config, "num_hidden_layers": 1}), [Made()], tokens, Place()):
    pass  # libraries loaded, arenas there
before, most = process.memory_info().rss, 0
for _ in run_layers(skeleton, [Made(), Made()], tokens, Place()):
    most = max(most, process.memory_info().rss)
print(4 * skeleton.parameters, most - before)
"""


@pytest.mark.slow
def test_that_a_model_of_400_mb_needs_the_memory_of_two_layers():
    done = subprocess.run(
        [sys.executable, "-c", _LARGE],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    whole, growth = map(int, done.stdout.split())
    assert whole > 400e6
    assert growth < 2 * whole / 6
