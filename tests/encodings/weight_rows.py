"""Weights as they occur, and as they hopefully do not."""

from __future__ import annotations

from functools import cache
from itertools import cycle

import torch
from safetensors import safe_open

from app.core.places import sample_model

ROW = 1024


@cache
def ordinary(most: int = 256) -> dict[str, torch.Tensor]:
    """Distributions that weights of models have, by name: (64, 1024), or 256 rows of real ones.

    Args:
        most: How many rows to have at most; fewer are faster, and as varied.
    """
    some = torch.Generator().manual_seed(7)
    normal = torch.randn(64, ROW, generator=some)
    tails = torch.distributions.StudentT(3.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        student = tails.sample((64, ROW))
    spiked = normal * 0.02
    spiked[:, ::257] *= 30
    rows = {
        "normal": normal * 0.02,
        "student t": student * 0.02,
        "spiked": spiked,
        "off center": normal * 0.02 + 0.03,
        "bfloat16": (normal * 0.02).bfloat16().float(),
        "large": normal * 500,
        "one sided": normal.abs() * 0.02,
        "small": normal * 1e-4,
    }
    with safe_open(sample_model() / "model.safetensors", "pt") as file:
        for name in ("embed_tokens", "layers.0.mlp.up_proj", "layers.7.self_attn.o_proj"):
            rows[name] = file.get_tensor(f"model.{name}.weight").float()[:256]
    return {name: weight[:most] for name, weight in rows.items()}


def importances(columns: int = ROW) -> dict[str, torch.Tensor]:
    """Importances of columns as calibration finds them, by name: mean squares of activations."""
    some = torch.Generator().manual_seed(5)
    chi_square = torch.randn(8, columns, generator=some).square().mean(0)
    log_normal = torch.randn(columns, generator=some).mul(1.2).exp()
    outliers = chi_square.clone()
    outliers[torch.randperm(columns, generator=some)[: columns // 100 + 1]] *= 100
    unseen = log_normal * (torch.rand(columns, generator=some) > 0.1)
    return {
        "chi square": chi_square,
        "log normal": log_normal,
        "outlier channels": outliers,
        "unseen columns": unseen,
    }


def weighed(rows: dict[str, torch.Tensor]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Each of the weights with importances of one kind after the other, by both names."""
    kinds = cycle(importances())
    pairs = {}
    for name, weight in rows.items():
        kind = next(kinds)
        pairs[f"{name}, {kind}"] = weight, importances(weight.shape[-1])[kind]
    return pairs


def weird() -> dict[str, torch.Tensor]:
    """Rows that break searches: nothing to scale, nothing but scale, or a single large weight."""
    some = torch.Generator().manual_seed(11)
    normal = torch.randn(16, ROW, generator=some)
    spread = torch.rand(16, 1, generator=some)
    spike = normal * 0.02
    spike[:, 3::ROW] = 900
    dip = normal * 0.02
    dip[:, 3::256] = -50
    return {
        "zeros": torch.zeros(16, ROW),
        "negative zeros": -torch.zeros(16, ROW),
        "constant": spread.expand(-1, ROW).clone(),
        "negative constant": -spread.expand(-1, ROW).clone(),
        "around 100": 100 + normal * 0.01,
        "around -100": -100 + normal * 0.01,
        "two values": normal.sign(),
        "three values": normal.round().clamp(-1, 1),
        "sparse": normal * (torch.rand(16, ROW, generator=some) < 0.02),
        "spike": spike,
        "dip": dip,
        "1e-5": normal * 1e-5,
        "1e-7": normal * 1e-7,
        "1e-30": normal * 1e-30,
        "subnormal": normal * 1e-41,
    }
