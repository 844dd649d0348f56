"""Weights, inputs and what is lost between them."""

from __future__ import annotations

import torch

from app.methods.base import Statistics


def correlated(tokens, columns, seed=3):
    """Inputs as layers see them: correlated, and a few channels much larger than the others."""
    some = torch.Generator().manual_seed(seed)
    mix = torch.randn(columns, columns, generator=some) / columns**0.5
    inputs = torch.randn(tokens, columns, generator=some) @ (mix + 0.3 * torch.eye(columns))
    inputs[:, :: max(columns // 6, 1)] *= 8
    return inputs


def weights(rows, columns, seed=4):
    some = torch.Generator().manual_seed(seed)
    return 0.02 * torch.randn(rows, columns, generator=some)


def statistics_of(inputs):
    return Statistics(
        importance=inputs.square().mean(0),
        second_moment=inputs.mT @ inputs / len(inputs),
        absmax=inputs.abs().amax(0),
        mean_abs=inputs.abs().mean(0),
        samples=inputs,
    )


def output_error(weight, stored, inputs):
    """What inputs lose on their way through a stored weight, relative."""
    return float(((inputs @ (weight - stored).mT).norm() / (inputs @ weight.mT).norm()).square())
