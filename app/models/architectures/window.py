"""Sliding attention windows that llama.cpp does not apply."""

from __future__ import annotations

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
