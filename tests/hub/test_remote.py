"""Models that stay on the hub: what is known of them from their headers."""

import json
import shutil

import pytest
import torch
from hub_parts import bytes_of, sample_files
from local_hub import Fault, Repo
from safetensors.torch import save

from app.core.errors import AppError, BadModelFile, Unsupported
from app.core.hub import Convertibility
from app.core.places import sample_model
from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.formats import FORMATS
from app.hub import errors
from app.hub.details import model
from app.hub.remote import open_remote
from app.hub.selection import select
from app.hub.verdict import verdict
from app.models import open_model


def plan_of(checkpoint):
    return FORMATS["gguf"].prepare(checkpoint).plan(Recipe("Q4_K_M"))


@pytest.fixture(scope="module")
def gguf_files(tmp_path_factory):
    """The sample model as GGUF files, by their presets."""
    folder = tmp_path_factory.mktemp("gguf")
    conversion = FORMATS["gguf"].prepare(open_model(sample_model()))
    found = {}
    for preset in ("F16", "Q4_0"):
        plan = conversion.plan(Recipe(preset))
        body = bytearray(plan.header.ljust(plan.total_bytes, b"\0"))
        for tensor in plan.tensors:
            rows = conversion.rows(tensor, 0, tensor.weights // tensor.shape[-1])
            blocks = ENCODINGS[tensor.encoding].encode(rows)["blocks"].numpy().tobytes()
            body[tensor.offset : tensor.offset + tensor.nbytes] = blocks
        (folder / f"{preset}.gguf").write_bytes(body)
        found[preset] = bytes(body)
    return found


def test_that_a_plan_from_headers_is_the_plan_from_the_files(client, tmp_path):
    remote = open_remote(client, model(client, "org/sample"))
    local = open_model(shutil.copytree(sample_model(), tmp_path / "sample"))
    from_headers, from_files = (FORMATS["gguf"].prepare(one) for one in (remote, local))
    for preset in FORMATS["gguf"].presets:
        assert from_headers.plan(preset.recipe()) == from_files.plan(preset.recipe())
    assert remote.weights == local.weights


def test_that_weights_that_are_elsewhere_cannot_be_read(client):
    remote = open_remote(client, model(client, "org/sample"))
    with pytest.raises(Unsupported, match="still on the hub"):
        remote.rows("model.embed_tokens.weight", 0, 1)


def test_that_a_gguf_file_is_planned_from_its_header_too(hub, client, gguf_files, tmp_path):
    hub.repos["org/g"] = Repo("org/g", {"m-F16.gguf": gguf_files["F16"]}, tags=("gguf",))
    details = model(client, "org/g")
    remote = open_remote(client, details)
    (tmp_path / "m-F16.gguf").write_bytes(gguf_files["F16"])
    local = open_model(tmp_path / "m-F16.gguf")
    assert plan_of(remote) == plan_of(local)
    assert remote.tensors == local.tensors
    sent = sum(_length(seen) for seen in hub.requests("content"))
    assert sent < len(gguf_files["F16"]) / 4
    with pytest.raises(Unsupported, match="still on the hub"):
        remote.rows("token_embd.weight", 0, 1)
    convertible, _ = verdict(client, details)
    assert convertible.word is Convertibility.LIMITS
    assert "GGUF file" in convertible.sentences[-1]


def _length(seen):
    first, last = seen.headers["range"].removeprefix("bytes=").split("-")
    return int(last) - int(first) + 1


def test_that_the_best_gguf_file_is_taken_and_a_poor_one_refused(hub, client, gguf_files):
    files = {f"sub/m-{name}.gguf": body for name, body in gguf_files.items()}
    hub.repos["org/g"] = Repo("org/g", {**files, "mmproj-F16.gguf": b"GGUF"})
    details = model(client, "org/g", card=False)
    assert details.gguf_files[0].name == "mmproj-F16.gguf"
    assert [file.name for file in select(details).weights] == ["sub/m-F16.gguf"]
    assert open_remote(client, details).path.name == "m-F16.gguf"
    convertible, checkpoint = verdict(client, details, "sub/m-Q4_0.gguf")
    assert convertible.word is Convertibility.NO
    assert "already quantized" in convertible.sentences[0]
    assert checkpoint is not None
    with pytest.raises(BadModelFile, match=r"no GGUF file called config\.json"):
        select(details, "config.json")


def test_that_only_poor_gguf_files_lead_to_where_they_came_from(hub, client, gguf_files):
    files = {f"m-{name}.gguf": gguf_files["Q4_0"] for name in ("Q4_0", "Q5_K_M")}
    card = {"base_model": "org/original"}
    hub.repos["org/g"] = Repo("org/g", files, card=card)
    convertible, checkpoint = verdict(client, model(client, "org/g"))
    assert convertible.word is Convertibility.NO
    assert checkpoint is None
    assert "org/original" in convertible.sentences[1]


def shards():
    halves = [{"a.weight": torch.ones(64, 64)}, {"b.weight": torch.zeros(64, 64)}]
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    index = {"weight_map": {key: names[n] for n, half in enumerate(halves) for key in half}}
    files = {name: save(half) for name, half in zip(names, halves, strict=True)}
    return {**files, "model.safetensors.index.json": json.dumps(index).encode()}


EXTRA = {
    "consolidated.safetensors": bytes_of(50),
    "consolidated.00.pth": bytes_of(50),
    "pytorch_model.bin": bytes_of(50),
    "onnx/model.onnx": bytes_of(50),
    "openvino/model.safetensors": bytes_of(50),
    "original/tokenizer.model": bytes_of(50),
    "adapter_model.safetensors": bytes_of(50),
    "flax_model.msgpack": bytes_of(50),
    "config.json": b"{}",
    "tokenizer.json": b"{}",
}


def test_that_only_what_is_needed_is_chosen(hub, client):
    hub.repos["org/m"] = Repo("org/m", {**EXTRA, **shards()})
    chosen = select(model(client, "org/m", card=False))
    names = {file.name for file in chosen.files}
    assert names == {*shards(), "config.json", "tokenizer.json"}
    assert open_remote(client, model(client, "org/m", card=False)).tensors.keys() == {
        "a.weight",
        "b.weight",
    }


def test_that_one_file_comes_before_parts_and_an_index_before_both(hub, client):
    single = {"model.safetensors": save({"c": torch.ones(2)})}
    hub.repos["org/m"] = Repo("org/m", {**EXTRA, **shards(), **single})
    chosen = select(model(client, "org/m", card=False))
    assert [file.name for file in chosen.weights] == ["model.safetensors"]
    assert set(open_remote(client, model(client, "org/m", card=False)).tensors) == {"c"}
    other = {"second.safetensors": save({"d": torch.ones(2)})}
    hub.repos["org/n"] = Repo("org/n", {**EXTRA, **shards(), **other})
    assert set(open_remote(client, model(client, "org/n", card=False)).tensors) == {
        "a.weight",
        "b.weight",
    }


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"pytorch_model.bin": b"x"}, "old format"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}, "adapter"),
        ({"README.md": b"x"}, "no safetensors or GGUF files"),
        ({"model.safetensors": b"x" * 100, "config.json": b"{}"}, "damaged"),
        ({"model.safetensors": save({"a": torch.ones(2)})}, "config.json"),
        ({"m-00001-of-00003.gguf": b"GGUF"}, "m-00002-of-00003.gguf"),
        ({"x.gguf": b"GGUF" + bytes(100)}, "version is 0"),
        ({"x.gguf": b"GGUF\3\0\0\0" + b"\1" + bytes(15) + b"\xff" * 300_000}, "damaged"),
    ],
)
def test_that_what_is_no_model_is_a_no_with_its_reason(hub, client, files, said):
    hub.repos["org/m"] = Repo("org/m", files)
    convertible, checkpoint = verdict(client, model(client, "org/m", card=False))
    assert convertible.word is Convertibility.NO
    assert checkpoint is None
    assert any(said in sentence for sentence in convertible.sentences)


def test_that_an_unknown_family_is_a_no_but_can_be_looked_at(hub, client):
    config = json.loads(sample_files()["config.json"])
    config |= {"architectures": ["NeverHeardOfForCausalLM"], "model_type": "never_heard_of"}
    hub.repos["org/m"] = Repo(
        "org/m", {**sample_files(), "config.json": json.dumps(config).encode()}
    )
    convertible, checkpoint = verdict(client, model(client, "org/m"))
    assert convertible.word is Convertibility.NO
    assert checkpoint is not None


def test_that_own_code_of_a_model_is_a_limit_and_never_read(hub, client):
    config = json.loads(sample_files()["config.json"])
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Evil"}
    files = {**sample_files(), "config.json": json.dumps(config).encode(), "modeling.py": b"1/0"}
    hub.repos["org/m"] = Repo("org/m", files)
    convertible, _ = verdict(client, model(client, "org/m"))
    assert convertible.word is Convertibility.LIMITS
    assert "code of its own" in convertible.sentences[-1]
    assert hub.requests("hub", "modeling.py") == []


def test_that_a_closed_model_says_how_to_get_it(hub, client):
    hub.repos["org/m"] = Repo("org/m", sample_files(), gated="auto")
    convertible, _ = verdict(client, model(client, "org/m"))
    assert convertible.word is Convertibility.NO
    assert "Sign in at" in convertible.sentences[1]


def test_that_damaged_small_files_are_not_kept(hub, client, home):
    hub.spoil("small", Fault(flip=5, times=-1))
    details = model(client, "org/sample", card=False)
    with pytest.raises(errors.DamagedDownload):
        open_remote(client, details)
    assert not list((home / "hub").rglob("config.json"))
    hub.faults.clear()
    assert plan_of(open_remote(client, details))


def test_that_no_network_is_said_to_be_the_reason(hub, client, monkeypatch):
    details = model(client, "org/sample")
    monkeypatch.setattr(client, "endpoint", "http://127.0.0.1:9")
    with pytest.raises(AppError, match="cannot be reached"):
        verdict(client, details)


def test_that_a_header_that_grows_is_read_to_its_end(hub, client):
    """More tensors than the first piece of a header can name."""
    tensors = {f"model.layers.{n}.some.quite.long.name.weight": torch.ones(1) for n in range(2000)}
    hub.repos["org/m"] = Repo("org/m", {"model.safetensors": save(tensors), "config.json": b"{}"})
    assert len(open_remote(client, model(client, "org/m")).tensors) == 2000
    assert [seen.first for seen in hub.requests("content", "model.safetensors")] == [0, 1 << 17]
