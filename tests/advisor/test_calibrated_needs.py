"""What jobs take that see the model at work."""

from dataclasses import replace

import pytest
from computers import GB, computer
from needed import SOURCE, named, needs

from app.advisor.calibration import Reading, states_in_memory
from app.advisor.decoder import decoder_of
from app.calibration.treatment import Treatment
from app.core.errors import Unsupported
from app.core.job import Job, Output
from app.core.machine import Cpu
from app.core.places import resources
from app.core.recipe import Recipe
from app.encodings import find_encoding

FOLDER, BLOCKS = "gptq-4bit-g128-sym", "Q4_0"


def dense(encoding, *, hidden=2048, inner=5632, kv=512, vocabulary=4096, layers=2):
    """A Llama of these dimensions."""
    shapes = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    stored = {
        f"model.layers.{layer}.{name}.weight": (
            shape,
            encoding if fits(shape, encoding) else "BF16",
        )
        for layer in range(layers)
        for name, shape in shapes.items()
    }
    stored["model.embed_tokens.weight"] = ((vocabulary, hidden), "BF16")
    return named(
        {
            name: (shape, kind, find_encoding(kind).nbytes(shape))
            for name, (shape, kind) in stored.items()
        }
    )


def fits(shape, encoding):
    return "g128" not in encoding or shape[-1] % 128 == 0


def small(encoding):
    """Six layers of SmolLM2-135M; of groups of 128, only the widest matrices."""
    return dense(encoding, hidden=576, inner=1536, kv=192, vocabulary=49152, layers=6)


def slim():
    """One layer that is hardly more than its widest inputs."""
    return dense(BLOCKS, hidden=128, inner=5120, kv=64, layers=1)


def mixture(experts, name="experts."):
    """One layer of feed-forward parts."""
    shapes = {"gate": (768, 2048), "up": (768, 2048), "down": (2048, 768)}
    return named(
        {
            f"model.layers.0.mlp.{name}{expert}.{matrix}_proj.weight": (shape, BLOCKS, 884_736)
            for expert in range(experts)
            for matrix, shape in shapes.items()
        }
    )


def reading(plan, method="gptq", samples=16, length=512):
    job = Job("x", "/model", (Output("/x", Recipe("x")),), samples=samples, length=length)
    return Reading.for_method(job, Treatment.of(method), plan, SOURCE)


def two_threads():
    return replace(computer(16 * GB), cpu=Cpu("a processor", 2, 2))


SHORT = {"samples": 16, "length": 512}


# Memory


@pytest.mark.parametrize(
    ("plan", "method", "peak"),
    [
        (small(FOLDER), "gptq", 787),
        (small(BLOCKS), "gptq", 864),
        (small("awq-4bit-g128-asym"), "awq", 853),
        (dense(FOLDER), "gptq", 1396),
        (dense(BLOCKS), "gptq", 1551),
        (dense("awq-4bit-g128-asym"), "awq", 1299),
        (slim(), "awq+gptq", 954),
    ],
)
def test_that_it_is_enough_for_the_peaks_that_were_measured_and_not_twice_as_much(
    plan, method, peak
):
    found = needs(plan, method=method, job=SHORT, machine=two_threads())
    assert found.memory_least < peak * 2**20 < found.memory < 1.6 * peak * 2**20


def test_that_it_is_enough_for_the_measured_peak_of_an_importance_matrix():
    found = needs(small(BLOCKS), computes_importance=True, machine=two_threads())
    assert found.memory_least < 881 * 2**20 < found.memory < 1.6 * 881 * 2**20


def text_of(tmp_path, nbytes, name="text.txt"):
    """A file of this size; what is in it does not count."""
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(nbytes)
    return str(path)


def test_that_hidden_states_wait_in_memory_until_they_are_too_large_for_it(tmp_path):
    plan, machine, text = dense(BLOCKS), computer(6 * GB), text_of(tmp_path, 10**6)
    once, twice, many = (
        needs(plan, method="gptq", machine=machine, job={"samples": samples, "calibration": text})
        for samples in (128, 256, 1024)
    )
    states = 4 * 128 * 512 * 2048
    assert twice.memory - once.memory == states
    assert twice.memory_least - once.memory_least == states
    assert once.disk == twice.disk
    assert 8 * states > states_in_memory(6 * GB)
    assert many.memory == once.memory - states
    assert many.disk == once.disk + 8 * states


def test_that_a_text_has_no_more_tokens_than_bytes_however_many_are_asked_for():
    plan, machine = dense(BLOCKS), computer(6 * GB)
    found = needs(plan, method="gptq", machine=machine, job={"samples": 1_000_000})
    nbytes = (resources() / "text" / "mixed.txt").stat().st_size
    assert reading(plan, samples=1_000_000).tokens == nbytes
    states = 4 * nbytes * 2048
    assert states < states_in_memory(6 * GB)
    assert found.disk == needs(plan, method="gptq", machine=machine, job=SHORT).disk
    asking = replace(plan, ranges=("x",))
    longest, whole = (
        needs(asking, machine=machine, job={"samples": samples}) for samples in (1_000_000, 322)
    )
    assert 321 * 512 < nbytes < 322 * 512
    assert longest.memory == whole.memory


@pytest.mark.parametrize("name", ["text.txt", "chats.jsonl"])
def test_that_a_users_text_bounds_what_is_shown_and_has_to_be_there(tmp_path, name):
    plan, text = dense(BLOCKS), text_of(tmp_path, 10_000, name)
    job = {"samples": 1_000_000, "calibration": text}
    found = needs(plan, method="gptq", job=job)
    few = needs(plan, method="gptq", job={"samples": 1, "length": 10_000})
    assert (found.memory, found.disk, found.seconds) == (few.memory, few.disk, few.seconds)
    missing = job | {"calibration": f"{text}.gone"}
    with pytest.raises(Unsupported, match="There is no file"):
        needs(plan, method="gptq", job=missing)
    assert needs(plan, job=missing).memory == needs(plan).memory  # nothing reads it


def test_that_a_card_has_room_for_a_layer_and_what_is_known_of_it():
    plan = dense(BLOCKS)
    layer = decoder_of(plan, SOURCE).layers[0]
    fitted = needs(plan, method="gptq", device="cuda:0")
    assert fitted.card > needs(plan, device="cuda:0").card + 4 * (layer.weights + layer.moments)
    assert needs(plan, method="gptq").card == 0


def test_that_memory_follows_the_largest_layer_and_not_their_number():
    few, more = (dense(BLOCKS, layers=layers) for layers in (2, 40))
    assert needs(few, method="gptq").memory == needs(more, method="gptq").memory


def test_that_inputs_are_counted_once_for_the_matrices_that_share_them():
    (layer, _) = decoder_of(dense(BLOCKS), SOURCE).layers
    assert layer.moments == 3 * 2048**2 + 5632**2
    (layer,) = decoder_of(mixture(16), SOURCE).layers
    assert layer.columns <= 2 * 16 * 2048 + 16 * 768


def test_that_hidden_states_are_as_wide_as_what_most_matrices_are_multiplied_with():
    assert decoder_of(dense(BLOCKS), SOURCE).hidden == 2048


def test_that_every_expert_has_inputs_of_its_own_and_few_of_the_tokens():
    mixed = decoder_of(mixture(16), mixed_source(experts=16, used=2)).layers[0]
    assert mixed.moments == 16 * (2048**2 + 768**2)
    assert mixed.busy == mixed.weights / 8
    assert mixed.busy_moments == mixed.moments / 8


def mixed_source(experts, used):
    """A checkpoint of a mixture; its layer has nothing else."""
    from types import SimpleNamespace

    config = {
        "model_type": "qwen3_moe",
        "architectures": ["Qwen3MoeForCausalLM"],
        "hidden_size": 2048,
        "num_hidden_layers": 1,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_experts": experts,
        "num_experts_per_tok": used,
        "vocab_size": 4096,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
    }
    return SimpleNamespace(nbytes=1, config=config, path=SOURCE.path)


# Time


def test_that_a_guess_is_marked_and_follows_tokens_weights_and_cores(speeds):
    plan = dense(BLOCKS, layers=40)

    def guess(machine=None, **job):
        return needs(plan, method="gptq", machine=machine, speeds=speeds, job=job).seconds

    usual = guess()
    assert usual.guessed
    assert 60 < usual.least < usual.most < 4 * 3600
    assert guess(samples=256).most > 1.5 * usual.most
    many = replace(computer(16 * GB), cpu=Cpu("a processor", 32, 64))
    assert guess(many).most < 0.4 * usual.most
    few = replace(computer(16 * GB), cpu=Cpu("a processor", 32, 2))  # threads that it may use
    assert guess(few).most > usual.most


def test_that_nothing_is_guessed_about_a_card(speeds):
    found = needs(dense(BLOCKS), method="gptq", device="cuda:0", speeds=speeds)
    assert found.seconds is None


def test_that_a_second_reading_and_second_moments_take_their_time():
    plan = dense(BLOCKS)
    once = reading(plan, "gptq").multiplications - reading(plan, "gptq", samples=8).multiplications
    decoder = decoder_of(plan, SOURCE)
    assert once == 8 * 512 * (2 * decoder.busy + decoder.busy_moments)
    matrix = Reading.for_importance(plan, SOURCE, chunks=16)
    assert matrix.multiplications == 16 * 512 * decoder.busy
    assert reading(plan, "awq+gptq").multiplications > reading(plan, "gptq").multiplications


def test_that_a_measured_speed_takes_the_place_of_the_guess(speeds):
    plan, known = dense(BLOCKS), reading(dense(BLOCKS))
    speeds.calibrations.add("cpu", known.kind, known.multiplications, 100.0)
    found = needs(plan, method="gptq", speeds=speeds, job=SHORT).seconds
    assert not found.guessed
    assert 80 < found.least < 100 < found.most < 160
    more = needs(plan, method="gptq", speeds=speeds, job={"samples": 64}).seconds
    assert 2 * found.most < more.most < 4 * found.most  # choosing takes what it took
    other = needs(plan, method="awq", speeds=speeds, job=SHORT).seconds
    assert not other.guessed
    assert other.most / other.least > found.most / found.least


def test_that_calibrations_and_conversions_say_nothing_about_each_other(speeds):
    plan = dense(BLOCKS)
    speeds.calibrations.add("cpu", "gptq", 1e12, 100.0)
    assert needs(plan, speeds=speeds).seconds is None
    speeds.conversions.add("cpu", "Q4_K_M", 10**9, 100.0)
    alone = needs(plan, speeds=speeds).seconds
    speeds.calibrations.add("cpu", "gptq", 1e3, 1000.0)
    assert needs(plan, speeds=speeds).seconds == alone


def test_that_results_come_one_after_the_other_but_a_matrix_once(speeds):
    plan = dense(BLOCKS)
    one, two = (needs(*plans, method="gptq", speeds=speeds) for plans in ([plan], [plan, plan]))
    assert two.seconds.most == pytest.approx(2 * one.seconds.most)
    assert two.memory == one.memory
    speeds.conversions.add("cpu", "Q4_K_M", 10**9, 10.0)
    one, two = (
        needs(*plans, computes_importance=True, speeds=speeds) for plans in ([plan], [plan, plan])
    )
    assert two.importance == one.importance
    assert one.seconds.least > one.importance.least > 0
    assert two.seconds.most < 2 * one.seconds.most


def test_that_ranges_of_inputs_are_seen_before_and_take_what_a_reading_takes(speeds):
    speeds.conversions.add("cpu", "Q4_K_M", 10**9, 10.0)
    plan = dense(BLOCKS)
    plain, asking = (
        needs(one, machine=two_threads(), speeds=speeds)
        for one in (plan, replace(plan, ranges=("x",)))
    )
    assert asking.seconds.most > plain.seconds.most
    assert asking.memory > plain.memory
    assert asking.importance is None
