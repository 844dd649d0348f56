"""Small random models with real tokenizers, for every family, and a plain writer of results."""

from __future__ import annotations

import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from app.core.places import sample_model
from app.core.plan import Plan, PlannedTensor
from app.core.recipe import Recipe
from app.encodings import ENCODINGS
from app.formats import FORMATS
from app.formats.base import Conversion
from app.formats.gguf.header import Metadata, TensorEntry, encode_header, padded
from app.formats.gguf.imatrix import ImportanceMatrix
from app.models.architectures import find_architecture
from app.models.gguf_file import GgufFile
from app.models.gguf_header import GgufValue
from app.models.open import open_model

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}

#: What config.json of a family's model says besides the sizes.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama with biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "llama 3": {
        "model_type": "llama",
        "rope_parameters": LLAMA3_ROPE,
        "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "llama, linear": {
        "model_type": "llama",
        "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    },
    "mistral": {"model_type": "mistral", "head_dim": 64, "sliding_window": None},
    "qwen 2": {"model_type": "qwen2"},
    "qwen 2, yarn": {"model_type": "qwen2", "rope_parameters": YARN},
    "qwen 3": {"model_type": "qwen3", "head_dim": 64},
    "qwen 3, yarn": {
        "model_type": "qwen3",
        "rope_parameters": {**YARN, "attention_factor": 0.8},
    },
    "smollm 3": {"model_type": "smollm3"},
}

#: A mixture for `empty_model`.
MIXTURE: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "head_dim": 64,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}

SIZES: dict[str, Any] = {
    "vocab_size": 4096,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def random_model(folder: Path, **config: Any) -> Any:
    """Make a model of transformers with weights of a trained model's size, and save it.

    Args:
        folder: Where it goes; gets the sample model's tokenizer.
        config: Replaces or adds to `SIZES`; `model_type` is needed.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = {**SIZES, **config}
    torch.manual_seed(20)
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(settings.pop("model_type"), **settings)
    )
    model = model.to(torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.copy_(0.3 * torch.randn_like(weight) + (not name.endswith("bias")))
            else:
                weight.mul_(4)
    model.save_pretrained(folder)
    copy_tokenizer(folder)
    return model


def empty_model(folder: Path, **config: Any) -> None:
    """A model of any size that takes no space: its file has a header and a hole.

    Args:
        folder: Where it goes; gets the sample model's tokenizer.
        config: Replaces or adds to `SIZES`; `model_type` is needed.
    """
    settings = {**SIZES, **config}
    header: dict[str, Any] = {}
    end = 0
    for weight in find_architecture(settings).weights(settings, ()):
        for source in () if weight.optional else weight.sources:
            if source.name not in header:
                start, end = end, end + 2 * math.prod(source.shape)
                shape, place = list(source.shape), [start, end]
                header[source.name] = {"dtype": "BF16", "shape": shape, "data_offsets": place}
    data = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(data).to_bytes(8, "little") + data)
        file.truncate(8 + len(data) + end)
    (folder / "config.json").write_text(json.dumps(settings))
    copy_tokenizer(folder)


def stacked_mixture(folder: Path) -> Path:
    """A mixture of one layer with random weights, whose experts lie in stacks."""
    from safetensors.torch import load_file, save_file

    folder.mkdir()
    empty_model(folder, **{**MIXTURE, "num_hidden_layers": 1})
    path = folder / "model.safetensors"
    torch.manual_seed(4)
    weights = {name: torch.randn(one.shape) for name, one in load_file(path).items()}
    stem = "model.layers.0.mlp.experts."

    def stack(kind: str) -> torch.Tensor:
        return torch.stack([weights.pop(f"{stem}{one}.{kind}_proj.weight") for one in range(4)])

    weights[f"{stem}gate_up_proj"] = torch.cat((stack("gate"), stack("up")), 1)
    weights[f"{stem}down_proj"] = stack("down")
    save_file({name: one.bfloat16() for name, one in weights.items()}, path)
    return folder


def empty_gguf(source: Path, target: Path) -> None:
    """The F16 file of a model of `empty_model`: a header and a hole as well."""
    plan = FORMATS["gguf"].prepare(open_model(source)).plan(Recipe("F16"))
    with target.open("wb") as file:
        file.write(plan.header)
        file.truncate(plan.total_bytes)


def copy_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(sample_model() / name, folder)


def bare_model(folder: Path, vocabulary: int) -> None:
    """A Llama of one layer with 32 numbers a token: just enough to carry a tokenizer."""
    from safetensors.torch import save_file

    matrices = {"self_attn.q": 32, "self_attn.k": 32, "self_attn.v": 32, "self_attn.o": 32}
    matrices |= {"mlp.gate": 32, "mlp.up": 32, "mlp.down": 32}
    layer = "model.layers.0."
    tensors = {f"{layer}{name}_proj.weight": torch.eye(32) for name in matrices}
    for name in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"{layer}{name}.weight"] = torch.ones(32)
    tensors["model.norm.weight"] = torch.ones(32)
    tensors["model.embed_tokens.weight"] = torch.zeros(vocabulary, 32)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors"
    )


def convert(
    source: Path, target: Path, recipe: Recipe, matrix: ImportanceMatrix | None = None
) -> Plan:
    """Write `target` in one go, tensor by tensor, weighing errors by `matrix` if there is one."""
    conversion = FORMATS["gguf"].prepare(open_model(source))
    plan = conversion.plan(recipe)
    write(conversion, plan, target, matrix)
    return plan


def write(
    conversion: Conversion, plan: Plan, target: Path, matrix: ImportanceMatrix | None = None
) -> None:
    def encode(tensor: PlannedTensor) -> bytes:
        """One matrix after the other: a stack of experts has importances for each."""
        rows = tensor.shape[-2] if len(tensor.shape) > 1 else 1
        encoded = b""
        for number, start in enumerate(range(0, tensor.weights // tensor.shape[-1], rows)):
            weight = conversion.rows(tensor, start, start + rows)
            columns = matrix.columns(tensor.name, number, tensor.shape[-1]) if matrix else None
            blocks = ENCODINGS[tensor.encoding].encode(weight, columns)["blocks"]
            encoded += blocks.numpy().tobytes()
        return encoded

    with target.open("wb") as file, ThreadPoolExecutor() as pool:
        file.write(plan.header)
        for tensor, encoded in zip(plan.tensors, pool.map(encode, plan.tensors), strict=True):
            file.seek(tensor.offset)
            file.write(encoded)
        file.truncate(plan.total_bytes)


def rewrite_metadata(file: GgufFile, target: Path, metadata: dict[str, GgufValue]) -> None:
    """A copy of a GGUF file with other metadata."""
    entries = [
        TensorEntry(t.info.name, t.info.shape, t.ggml_id, t.info.nbytes)
        for t in file.header.tensors.values()
    ]
    with target.open("wb") as out, file.path.open("rb") as source:
        out.write(encode_header(Metadata.of(metadata), entries))
        for tensor in file.header.tensors.values():
            source.seek(tensor.offset)
            out.write(source.read(padded(tensor.info.nbytes)))
