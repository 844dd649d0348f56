"""Optimal Brain Quantization, column by column, from the paper: slow, in float64.

Frantar and Alistarh, "Optimal Brain Compression", NeurIPS 2022, arXiv:2208.11580, equations 2
and 3: after a column is fixed, the others get the least-squares optimal correction, and the
inverse of what is left of H is found by eliminating the column.
"""

from __future__ import annotations

import torch


def rounded(weight, second_moment, grid, order, damping=0.0):
    """The values on `grid` that are stored for `weight`, float64."""
    step, offset = (part.double() for part in grid.spread())
    left = weight.double().clone()
    moment = second_moment.double().clone()
    moment.diagonal().add_(damping * moment.diagonal().mean())
    free = list(range(weight.shape[1]))
    values = torch.zeros_like(left)
    for column in order:
        at = free.index(column)
        inverse = torch.linalg.inv(moment[free][:, free])
        code = ((left[:, column] - offset[:, column]) / step[:, column]).round()
        values[:, column] = (
            code.clamp(grid.lowest, grid.highest) * step[:, column] + offset[:, column]
        )
        error = left[:, column] - values[:, column]
        left[:, free] -= torch.outer(error / inverse[at, at], inverse[at])
        free.remove(column)
    return values


def nearest_to_output(weight, second_moment, values_of_code):
    """The codes with the least tr((W - Q) H (W - Q)^T), of all there are, for one row."""
    grids = torch.cartesian_prod(*values_of_code)
    errors = grids.double() - weight.double()
    losses = ((errors @ second_moment.double()) * errors).sum(-1)
    return float(losses.min())
