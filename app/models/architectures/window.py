"""Sliding attention windows that llama.cpp does not apply."""

from __future__ import annotations

from app.core.errors import BadModelFile
from app.models.architectures.base import Config


def window_note(window: object, config: Config) -> tuple[str, ...]:
    """A warning if texts longer than `window` tokens would come out differently."""
    context = config.get("max_position_embeddings")
    if not isinstance(window, int) or (isinstance(context, int) and context <= window):
        return ()
    text = (
        f"This model looks back {window:,} tokens in each layer. llama.cpp looks at everything, "
        f"so texts longer than {window:,} tokens may come out a little differently."
    )
    return (text,)


def used_window(config: Config) -> tuple[str, ...]:
    """`window_note` for the families that switch the window on by `use_sliding_window`."""
    if config.get("use_sliding_window") is not True:
        return ()
    return window_note(config.get("sliding_window", 4096), config)


def windowed_layers(config: Config, layers: int, interval: int) -> tuple[bool, ...]:
    """For each layer, whether it looks back a window only.

    Args:
        config: Content of config.json, which may list the kinds of layers.
        layers: How many there are.
        interval: Where it does not, every so many-th layer looks at everything.

    Raises:
        BadModelFile: The list is of another length.
    """
    kinds = config.get("layer_types")
    if kinds is None:
        return tuple((layer + 1) % interval != 0 for layer in range(layers))
    if not isinstance(kinds, list) or len(kinds) != layers:
        raise BadModelFile(
            f"config.json: layer_types does not list the kinds of {layers} layers.",
            "The model's description is damaged. Download it again.",
        )
    return tuple(kind == "sliding_attention" for kind in kinds)
