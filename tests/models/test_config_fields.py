"""JSON files of a model, and the types of their fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import BadModelFile
from app.models.config import flag, items, number, read_json, section, text, whole_number


def test_that_configs_in_the_wild_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{"time_step_limit": [0.0, Infinity], "a": 1, "a": 2}')
    assert read_json(path) == {"time_step_limit": [0.0, float("inf")], "a": 2}


def test_that_a_field_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    path.write_text('{"weight_map": {"b": 0, "a": 1, "a": 2}}')
    with pytest.raises(BadModelFile, match=r"index\.json is damaged") as caught:
        read_json(path, unique=True)
    assert caught.value.details == "'a' is there twice"


def test_that_64_levels_are_deep_enough(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a":' + "[" * 63 + "]" * 63 + "}")
    assert read_json(path)
    path.write_text('{"a":' + "[" * 64 + "]" * 64 + "}")
    with pytest.raises(BadModelFile, match="64 levels"):
        read_json(path)


def test_that_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(BadModelFile, match="larger than 64 MB"):
        read_json(path)


def test_that_a_large_tokenizer_fits(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    merges = ",".join(['["a","b"]'] * 520_000)
    vocabulary = ",".join(f'"{number}":{number}' for number in range(262_144))
    path.write_text(f'{{"model": {{"vocab": {{{vocabulary}}}, "merges": [{merges}]}}}}')
    assert len(read_json(path)["model"]["merges"]) == 520_000


@pytest.mark.parametrize(
    ("read", "good", "bad"),
    [
        (whole_number, (1, 4096, 4096.0, 2**63 - 1), ("1", 0, -1, 1.5, True, [1], 2**63)),
        (number, (1, 0.5, -3.0), ("1", True, [1.0], float("nan"), float("inf"), 10**400)),
        (flag, (True, False), (0, 1, "true", [True])),
        (text, ("", "silu"), (1, True, ["silu"])),
        (items, ([], [1, 2]), ("abc", 1, {"a": 1})),
        (section, ({}, {"a": 1}), ([], "a", 1)),
    ],
)
def test_that_fields_have_their_types(read: Any, good: Any, bad: Any) -> None:
    for value in good:
        assert read({"key": value}, "key") == value
    for value in bad:
        with pytest.raises(BadModelFile, match=r"config\.json: key must be .*, found") as caught:
            read({"key": value}, "key")
        assert len(caught.value.title) < 200


@pytest.mark.parametrize("config", [{}, {"key": None}])
def test_that_an_absent_field_has_its_default_or_is_named(config: dict[str, Any]) -> None:
    assert whole_number(config, "key", 7) == 7
    assert number(config, "key", 0.5) == 0.5
    assert flag(config, "key", default=False) is False
    assert text(config, "key", "") == ""
    assert items(config, "key", ()) == ()
    assert section(config, "key", {}) == {}
    with pytest.raises(BadModelFile, match=r"tokenizer_config\.json: key is missing"):
        text(config, "key", file="tokenizer_config.json")


_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(value=_json)
def test_that_any_object_is_read_as_it_is_and_nothing_else(
    value: Any, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    if isinstance(value, dict):
        assert json.dumps(read_json(path)) == json.dumps(value)
    else:
        with pytest.raises(BadModelFile):
            read_json(path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_that_no_flipped_byte_of_a_config_does_more_than_damage(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.json"
    damaged = bytearray(json.dumps({"hidden_size": 256, "a": [1.5, {"b": "c\\u00fc"}]}).encode())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged)
    try:
        found = read_json(path)
        whole_number(found, "hidden_size", 1)
    except BadModelFile:
        return
    assert isinstance(found, dict)
