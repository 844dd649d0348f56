"""A report as an eight-billion-parameter model has one; the figures are made up, but typical."""

from __future__ import annotations

import math
from dataclasses import replace

from app.core.report import Quality, Report, Sample, TensorResult

_LAYERS = 36
_SHAPES = {
    "attn_q": (4096, 4096), "attn_k": (1024, 4096), "attn_v": (1024, 4096),
    "attn_output": (4096, 4096), "ffn_gate": (12288, 4096), "ffn_up": (12288, 4096),
    "ffn_down": (4096, 12288),
}  # fmt: skip
_ERRORS = {
    "attn_q": 0.071, "attn_k": 0.078, "attn_v": 0.034, "attn_output": 0.069, "ffn_gate": 0.073,
    "ffn_up": 0.074, "ffn_down": 0.05,
}  # fmt: skip
_BITS = {"Q4_K": 4.5, "Q6_K": 6.5625, "F32": 32.0}
_SCALE = {"Q8_0": 1.74, "Q5_K_M": 1.16, "Q2_K": 0.65}  # sizes of the other presets against Q4_K_M
_QUALITY = {
    "Q8_0": (9.728, 0.0012, 0.011, 0.981),
    "Q5_K_M": (9.771, 0.0094, 0.091, 0.962),
    "Q4_K_M": (9.871, 0.0213, 0.192, 0.934),
    "Q2_K": (14.21, 0.512, 3.9, 0.741),
}


_IN_FOLDERS = {
    "token_embd": "model.embed_tokens", "output": "lm_head", "blk": "model.layers",
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def folder_report(preset: str, runs_in: str) -> Report:
    """The same for a folder, with the names of its tensors."""
    report = example_report()
    tensors = tuple(
        replace(
            tensor,
            name=".".join(_IN_FOLDERS.get(part, part) for part in tensor.name.split(".")),
            encoding="packed-4bit-g128-sym" if tensor.encoding != "F32" else "BF16",
        )
        for tensor in report.tensors
    )
    target = f"/models/Qwen3-8B-{preset}"
    return replace(report, preset=preset, target=target, tensors=tensors, runs_in=runs_in)


def example_report(preset: str = "Q4_K_M", *, measured: bool = True) -> Report:
    """The result of a typical job."""
    tensors = (_tensor("token_embd", (151936, 4096), "Q4_K", 0.066), *_layers())
    tensors += (_tensor("output", (151936, 4096), "Q6_K", 0.018),)
    after = int(sum(tensor.after for tensor in tensors) * _SCALE.get(preset, 1))
    perplexity, mean, worst, same = _QUALITY.get(preset, _QUALITY["Q4_K_M"])
    quality = Quality(16_368, 512, "wikitext excerpt", 9.7142, perplexity, mean, worst, same)
    return Report(
        model="Qwen3-8B",
        architecture="Qwen3",
        preset=preset,
        source="/models/Qwen3-8B",
        target=f"/models/Qwen3-8B-{preset}.gguf",
        bytes_before=16_381_470_720,
        bytes_after=after + 5_968_000,
        weights=8_190_735_360,
        bits_per_weight=8 * after / 8_190_735_360,
        seconds=247.0,
        created="2026-11-21T22:41:07+00:00",
        tensors=tensors,
        quality=quality if measured else None,
        samples=_SAMPLES if measured else (),
        recipe={"preset": preset, "method": "nearest", "pure": False},
        versions={"nibble": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
        runs_in="llama.cpp, Ollama, LM Studio",
    )


def _layers() -> tuple[TensorResult, ...]:
    found = []
    for layer in range(_LAYERS):
        careful = layer < 4 or layer >= 32 or layer % 3 == 0
        found.append(_tensor(f"blk.{layer}.attn_norm", (4096,), "F32", 0.0))
        for kind, shape in _SHAPES.items():
            encoding = "Q6_K" if careful and kind in {"attn_v", "ffn_down"} else "Q4_K"
            error = _ERRORS[kind] * (1 + 0.25 * math.sin(layer * 0.9 + len(kind)))
            error *= 1.5 if layer in {0, 35} else 1.0
            found.append(
                _tensor(
                    f"blk.{layer}.{kind}", shape, encoding, error * _BITS["Q4_K"] / _BITS[encoding]
                )
            )
    return tuple(found)


def _tensor(name: str, shape: tuple[int, ...], encoding: str, error: float) -> TensorResult:
    weights = math.prod(shape)
    after = int(weights * _BITS[encoding] / 8)
    return TensorResult(f"{name}.weight", encoding, shape, 2 * weights, after, error, error / 4)


_SAMPLES = (
    Sample(
        "The lighthouse keeper had not spoken to anyone for",
        " three weeks when the storm came. He lit the lamp, sat down beside the window, and "
        "listened to the sea as if it were an old friend telling a long story.",
        " three weeks when the storm arrived. He lit the lamp, sat down beside the window, and "
        "listened to the waves as if they were an old friend telling a long story.",
    ),
    Sample(
        "To make bread you need",
        " flour, water, salt and yeast. Mix them, wait an hour, and bake the loaf until it sounds "
        "hollow.",
        " flour, water, salt and yeast. Mix them, wait an hour, and bake the loaf until it sounds "
        "hollow.",
    ),
)
