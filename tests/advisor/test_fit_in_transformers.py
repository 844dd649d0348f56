"""What transformers really takes on a processor, against what is said of it."""

import json
import struct
import subprocess
import sys

import pytest
from computers import GB, computer

from app.advisor import fits_of
from app.core.fit import FitOptions, FitWord
from app.core.runtime import Runtime
from app.models import open_model

SIZES = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 12}
WORDS = 49_152
PROGRAM = """
import resource, sys, torch
from transformers import AutoModelForCausalLM
torch.set_num_threads(2)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto")
with torch.no_grad():
    model.generate(torch.ones((1, int(sys.argv[2])), dtype=torch.long), max_new_tokens=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama of 0.6 GB that takes no space: its weights are a hole in the file."""
    folder = tmp_path_factory.mktemp("dense")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", **SIZES,
        "num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": WORDS,
        "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16",
        "tie_word_embeddings": False, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    hidden, inner = SIZES["hidden_size"], SIZES["intermediate_size"]
    shapes = {
        "model.embed_tokens": (WORDS, hidden), "lm_head": (WORDS, hidden), "model.norm": (hidden,),
    }  # fmt: skip
    for layer in range(SIZES["num_hidden_layers"]):
        attention, feed = f"model.layers.{layer}.self_attn.", f"model.layers.{layer}.mlp."
        shapes |= {attention + name: (hidden, hidden) for name in ("q_proj", "o_proj")}
        shapes |= {attention + name: (hidden // 2, hidden) for name in ("k_proj", "v_proj")}
        shapes |= {feed + name: (inner, hidden) for name in ("gate_proj", "up_proj")}
        shapes[feed + "down_proj"] = (hidden, inner)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"model.layers.{layer}.{norm}"] = (hidden,)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        nbytes = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        places = [end, end + nbytes]
        header[f"{name}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": places}
        end += nbytes
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("context", [256, 2048, 8000])
def test_that_transformers_takes_as_much_memory_as_is_said(folder, context):
    fits = fits_of(
        open_model(folder), computer(32 * GB), FitOptions(context), runtime=Runtime.TRANSFORMERS
    )
    fit = fits["bf16-folder"]
    command = [sys.executable, "-c", PROGRAM, str(folder), str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert fit.word is FitWord.MEMORY
    assert fit.low <= int(done.stdout.split()[-1]) <= fit.high
