"""Small random models that see, and what a picture becomes in them by transformers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tiny_models
import torch

from app.models.architectures.vision.base import CLIP_COLOURS, EVEN_COLOURS, IMAGENET_COLOURS

_TEXT: dict[str, Any] = {
    "vocab_size": 4096,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
_SIGLIP = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 8,
}
_QWEN = {
    "depth": 4,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_heads": 4,
    "patch_size": 8,
    "out_hidden_size": 64,
}
_LFM2 = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_patches": 256,
    "patch_size": 16,
    "model_type": "siglip2_vision_model",
}


@dataclass(frozen=True, slots=True)
class Seeing:
    """A family's small model."""

    config: dict[str, Any]
    colours: tuple[tuple[float, ...], tuple[float, ...]]
    side: int = 64
    """Pixels of a picture that nothing has to resize."""
    width: int = 64
    """Numbers a token."""


def _text(kind: str, **more: Any) -> dict[str, Any]:
    return {"model_type": kind, **_TEXT, **more}


MODELS = {
    "gemma3": Seeing(
        {
            "vision_config": _SIGLIP,
            "mm_tokens_per_image": 16,
            "text_config": _text("gemma3_text", head_dim=16),
        },
        EVEN_COLOURS,
    ),
    "qwen2_vl": Seeing(
        {
            "vision_config": {
                "depth": 2,
                "embed_dim": 64,
                "mlp_ratio": 2,
                "num_heads": 4,
                "patch_size": 8,
                "hidden_size": 64,
            },
            "text_config": _TEXT,
        },
        CLIP_COLOURS,
    ),
    "qwen2_5_vl": Seeing(
        {
            "vision_config": {**_QWEN, "fullatt_block_indexes": [1, 3], "window_size": 112},
            "text_config": _TEXT,
        },
        CLIP_COLOURS,
        side=224,  # several windows
    ),
    "qwen3_vl": Seeing(
        {
            "vision_config": {
                **_QWEN,
                "deepstack_visual_indexes": [1],
                "num_position_embeddings": 64,
            },
            "text_config": {**_TEXT, "head_dim": 16},
        },
        EVEN_COLOURS,
        width=128,
    ),
    "mistral3": Seeing(
        {
            "vision_config": {**_SIGLIP, "head_dim": 16, "model_type": "pixtral"},
            "text_config": _text("mistral", head_dim=16),
            "vision_feature_layer": -1,
        },
        CLIP_COLOURS,
    ),
    "llava": Seeing(
        {
            "vision_config": {
                **_SIGLIP,
                "head_dim": 16,
                "model_type": "pixtral",
                "hidden_act": "silu",
            },
            "text_config": _text("mistral", head_dim=16),
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
        },
        CLIP_COLOURS,
    ),
    "idefics3": Seeing({"vision_config": _SIGLIP, "text_config": _text("llama")}, EVEN_COLOURS),
    "smolvlm": Seeing({"vision_config": _SIGLIP, "text_config": _text("llama")}, EVEN_COLOURS),
    "lfm2_vl": Seeing(
        {
            "vision_config": _LFM2,
            "text_config": _text(
                "lfm2", layer_types=["full_attention"], block_auto_adjust_ff_dim=False
            ),
            "projector_hidden_size": 80,
        },
        EVEN_COLOURS,
        side=256,
    ),
    "internvl": Seeing(
        {
            "vision_config": {
                **_SIGLIP,
                "image_size": [64, 64],
                "patch_size": [8, 8],
                "model_type": "internvl_vision",
            },
            "text_config": _text("qwen2"),
        },
        IMAGENET_COLOURS,
    ),
}
ROW_END = 2
"""Token that ends a row of patches."""


def random_seeing_model(folder: Path, kind: str) -> Any:
    """Make a model of transformers, and save it with a tokenizer."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    torch.manual_seed(4)
    config = AutoConfig.for_model(kind, **MODELS[kind].config)
    model = AutoModelForImageTextToText.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.copy_(0.3 * torch.randn_like(weight) + (not name.endswith("bias")))
            else:
                weight.copy_(0.08 * torch.randn_like(weight))
    model.save_pretrained(folder)
    tiny_models.copy_tokenizer(folder)
    if kind in {"mistral3", "llava"}:
        _call_token(folder / "tokenizer.json", ROW_END, "[IMG_BREAK]")
    return model


def _call_token(path: Path, token: int, name: str) -> None:
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    for old, number in list(vocabulary.items()):
        if number == token:
            del vocabulary[old]
            vocabulary[name] = token
    for added in content["added_tokens"]:
        if added["id"] == token:
            added["content"] = name
    path.write_text(json.dumps(content))


def picture(kind: str) -> np.ndarray:
    """A picture of the right size: (height, width, 3), uint8."""
    side = MODELS[kind].side
    return np.random.default_rng(5).integers(0, 256, (side, side, 3), dtype=np.uint8)


def seen(model: Any, kind: str) -> np.ndarray:
    """What transformers makes of `picture`: (tokens, width)."""
    mean, deviation = map(torch.tensor, MODELS[kind].colours)
    colours = (torch.tensor(picture(kind)) / 255 - mean) / deviation
    pixels = colours.permute(2, 0, 1)[None].float()  # (1, colour, y, x)
    with torch.no_grad():
        match kind:
            case "qwen2_vl" | "qwen2_5_vl" | "qwen3_vl":
                found = _seen_by_qwen(model, pixels)
            case "lfm2_vl":
                grid = pixels.shape[-1] // 16
                patches = pixels[0].reshape(3, grid, 16, grid, 16).permute(1, 3, 2, 4, 0)
                found = model.get_image_features(
                    patches.reshape(1, grid**2, -1),
                    spatial_shapes=torch.tensor([[grid, grid]]),
                    pixel_attention_mask=torch.ones(1, grid**2, dtype=torch.long),
                )
            case "mistral3" | "llava":
                sizes = torch.tensor([pixels.shape[-2:]])
                found = model.get_image_features(pixels, image_sizes=sizes)
            case "idefics3" | "smolvlm":
                found = model.get_image_features(pixels[None])
            case _:
                found = model.get_image_features(pixels)
    return np.concatenate([_rows(found.pooler_output), *_glances(found)], 1)


def _seen_by_qwen(model: Any, pixels: torch.Tensor) -> Any:
    """Patches come as rows, the four of a token together, the moment repeated."""
    patch = _QWEN["patch_size"]
    grid = pixels.shape[-1] // patch
    moments = pixels.repeat(2, 1, 1, 1)
    cut = moments.reshape(1, 2, 3, grid // 2, 2, patch, grid // 2, 2, patch)
    rows = cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(grid**2, -1)
    return model.get_image_features(rows, image_grid_thw=torch.tensor([[1, grid, grid]]))


def _glances(found: Any) -> list[np.ndarray]:
    return [_rows(one) for one in getattr(found, "deepstack_features", None) or ()]


def _rows(found: Any) -> np.ndarray:
    joined = torch.cat(list(found)) if isinstance(found, list | tuple) else found
    return joined.reshape(-1, joined.shape[-1]).numpy()
