"""Fields of config.json under the names that they had before transformers 5.

Since then transformers writes `rope_parameters`, and one name for the number of experts. Programs
that read config.json by themselves look for the older fields, and where those are missing take
numbers of their own: nothing fails, and the model talks nonsense behind the first few words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EXPERTS = ("num_experts", "num_local_experts")
_INNER = "text_config"


def with_older_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same config, and what is missing of the older fields."""
    found = {**_positions(config), **_experts(config), **config}
    inner = config.get(_INNER)
    if isinstance(inner, Mapping):
        found[_INNER] = with_older_fields(inner)
    return found


def _positions(config: Mapping[str, Any]) -> dict[str, Any]:
    """How positions turn queries and keys; layers with a window may turn them differently."""
    given = config.get("rope_parameters")
    if not isinstance(given, Mapping):
        return {}
    main, local = given.get("full_attention", given), given.get("sliding_attention")
    if not isinstance(main, Mapping):
        return {}
    names = ("rope_theta", "partial_rotary_factor")
    found: dict[str, Any] = {name: main[name] for name in names if name in main}
    kind = main.get("rope_type", "default")
    if kind != "default":
        rest = {name: value for name, value in main.items() if name not in names}
        found["rope_scaling"] = {**rest, "type": kind}
    if isinstance(local, Mapping) and "rope_theta" in local:
        found["rope_local_base_freq"] = local["rope_theta"]
    return found


def _experts(config: Mapping[str, Any]) -> dict[str, Any]:
    number = next((config[name] for name in _EXPERTS if name in config), None)
    return {} if number is None else dict.fromkeys(_EXPERTS, number)
