"""Mamba 2 layers within hybrid models; Dao and Gu, arXiv:2405.21060."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.models.architectures.base import Config, Weight
from app.models.architectures.changes import AS_IS, Change, Flattened, NegativeExponential, Scaled
from app.models.architectures.hyperparameters import count, spelled
from app.models.architectures.reordering import Chained, Reshaped


@dataclass(frozen=True, slots=True)
class Mamba:
    """Sizes of a Mamba 2 layer."""

    hidden: int
    heads: int
    head: int
    state: int
    groups: int
    kernel: int

    @classmethod
    def of(cls, config: Config, hidden: int) -> Mamba:
        """Read config.json, in the spelling of any family.

        Raises:
            BadModelFile: A size is missing or out of bounds.
        """
        return cls(
            hidden,
            heads=count(config, spelled(config, "mamba_n_heads", "mamba_num_heads")),
            head=count(config, spelled(config, "mamba_d_head", "mamba_head_dim")),
            state=count(config, spelled(config, "mamba_d_state", "ssm_state_size")),
            groups=count(config, spelled(config, "mamba_n_groups", "n_groups"), 1),
            kernel=count(config, spelled(config, "mamba_d_conv", "conv_kernel"), 4),
        )

    @property
    def inner(self) -> int:
        """Width of the state space."""
        return self.heads * self.head

    @property
    def convolved(self) -> int:
        """Channels of the convolution."""
        return self.inner + 2 * self.groups * self.state

    @property
    def projected(self) -> int:
        """Rows of the projection into the layer."""
        return self.inner + self.convolved + self.heads

    def metadata(self) -> dict[str, Any]:
        """The entries of a GGUF file. llama.cpp has its own idea of the rank of time steps."""
        return {
            "ssm.conv_kernel": self.kernel,
            "ssm.inner_size": self.inner,
            "ssm.state_size": self.state,
            "ssm.time_step_rank": self.heads,
            "ssm.group_count": self.groups,
        }

    def weights(
        self, layer: int, hf: str, *, into: Change = AS_IS, out_of: Change = AS_IS
    ) -> Iterator[Weight]:
        """The tensors of a layer whose names start with `hf`.

        `into` and `out_of` are what happens to the projections.
        """
        gguf = f"blk.{layer}.ssm_"
        column = Reshaped((self.heads, 1))
        projection, convolution = hf + "in_proj.weight", hf + "conv1d.weight"
        yield Weight.of(gguf + "in.weight", projection, self.projected, self.hidden, change=into)
        shape, flat = (self.convolved, 1, self.kernel), Flattened()
        yield Weight.of(gguf + "conv1d.weight", convolution, *shape, change=flat)
        bias = hf + "conv1d.bias"
        yield Weight.of(gguf + "conv1d.bias", bias, self.convolved, optional=True)
        yield Weight.of(gguf + "dt.bias", hf + "dt_bias", self.heads)
        decay = Chained(NegativeExponential(), column)
        yield Weight.of(gguf + "a", hf + "A_log", self.heads, change=decay)
        yield Weight.of(gguf + "d", hf + "D", self.heads, change=column)
        by_group = Reshaped((self.groups, self.inner // self.groups))
        norm = hf + "norm.weight"
        yield Weight.of(gguf + "norm.weight", norm, self.inner, change=by_group, optional=True)
        out = hf + "out_proj.weight"
        yield Weight.of(gguf + "out.weight", out, self.hidden, self.inner, change=out_of)


def scaled(factor: float) -> Change:
    """A multiplication, unless it changes nothing."""
    return AS_IS if factor == 1 else Scaled(factor)
