"""Optimal Brain Quantization, column by column, from the paper: slow, in float64.

Frantar and Alistarh, "Optimal Brain Compression", NeurIPS 2022, arXiv:2208.11580, equations 2
and 3: after a column is fixed, the others get the least-squares optimal correction, and the
inverse of what is left of H is found by eliminating the column.
"""

from __future__ import annotations

import torch


def rounded(weight, second_moment, nearest, order, damping=0.0):
    """What is stored for `weight`, float64; `nearest` finds the values nearest to some weights."""
    left = weight.double().clone()
    moment = second_moment.double().clone()
    moment.diagonal().add_(damping * moment.diagonal().mean())
    free = list(range(weight.shape[1]))
    values = torch.zeros_like(left)
    for column in order:
        at = free.index(column)
        inverse = torch.linalg.inv(moment[free][:, free])
        values[:, column] = nearest(left[:, column])
        error = left[:, column] - values[:, column]
        left[:, free] -= torch.outer(error / inverse[at, at], inverse[at])
        free.remove(column)
    return values


def nearest_to_output(weight, second_moment, values):
    """The least (w - q) H (w - q)^T of all rows q that can be made of `values`."""
    every = torch.cartesian_prod(*[torch.tensor(values)] * len(weight))
    errors = every.double() - weight.double()
    return float(((errors @ second_moment.double()) * errors).sum(-1).min())
