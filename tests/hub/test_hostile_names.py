"""Names of files that come from outside never lead out of the model's folder."""

import json

import pytest
from hub_parts import QUICK, bytes_of
from local_hub import Repo

from app.core.errors import AppError, BadModelFile
from app.core.hub import HubFile, hub_id, is_hub_id
from app.hub.client import Client
from app.hub.details import model
from app.hub.download import Wish, download
from app.hub.names import check_distinct, is_plain, place_in
from app.hub.selection import select

HOSTILE = [
    "", ".", "..", "/", "//", "../x", "../../etc/passwd", "a/../../x", "a/..", "a/./b", "a//b",
    "/etc/passwd", "/x.safetensors", "~/x", "~root/x", "./x", "x/", "\\x", "..\\x", "a\\..\\b",
    "C:\\x", "C:x", "C:/x", "\\\\server\\share\\x", "//server/share/x", "\\\\?\\C:\\x",
    "\\\\.\\COM1", "file:///x", "http://x/y", "con", "CON", "nul.safetensors", "aux.json", "prn",
    "COM1", "com9.txt", "LPT1", "lpt3.gguf", "COM\u00b9", "a/con/b", "x\0.safetensors",
    "x\n.json", "x\r", "\x1b[31m", "x\u202egnp.exe", "x\u200b", ".ssh/authorized_keys", ".bashrc",
    ".git/config", "x ", " x", "x.", "x:stream", "x*", "x?", 'x"y', "x<y", "x|y",
    "\uff0e\uff0e/x", "x" * 300, "/".join("abcdefgh"), "-rf", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_that_a_hostile_name_has_no_place(name, tmp_path):
    assert not is_plain(name)
    with pytest.raises(BadModelFile, match="leads out of the model's folder"):
        place_in(tmp_path, name)


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "model-00001-of-00163.safetensors",
        "Q4_K_M/m-Q4_K_M.gguf",
        "tokenizer.json",
    ],
)
def test_that_usual_names_have_one(name, tmp_path):
    assert place_in(tmp_path, name) == tmp_path / name


def test_that_there_are_enough_of_them():
    assert len(set(HOSTILE)) >= 60


def fetch(folder, file=""):
    with Client(patience=QUICK) as client:
        details = model(client, "org/m", card=False)
        return list(download(client, Wish(details, select(details, file), folder)))


def test_that_a_model_with_hostile_names_leaves_nothing_outside(hub, tmp_path):
    files = {name: bytes_of(100, seed) for seed, name in enumerate(HOSTILE) if name != "\ud800"}
    files |= {f"{name}.safetensors": bytes_of(10) for name in HOSTILE if name != "\ud800"}
    hub.repos["org/m"] = Repo("org/m", {**files, "model.safetensors": b"x", "config.json": b"{}"})
    outside = set(tmp_path.rglob("*"))
    folder = tmp_path / "root" / "m"
    fetch(folder)
    inside = {path for path in tmp_path.rglob("*") if path.is_relative_to(folder)}
    assert {path.name for path in inside - {folder}} == {
        "model.safetensors", "config.json", ".nibble.json", ".nibble.lock"
    }  # fmt: skip
    assert set(tmp_path.rglob("*")) - inside - outside == {folder.parent}


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "CON.safetensors"])
def test_that_an_index_leads_nowhere_else(hub, tmp_path, name):
    index = json.dumps({"weight_map": {"a": "a.safetensors", "b": name}}).encode()
    files = {"model.safetensors.index.json": index, "a.safetensors": b"x", name: b"y"}
    hub.repos["org/m"] = Repo("org/m", files)
    with pytest.raises(BadModelFile, match="which the repository does not have"):
        fetch(tmp_path / "m")
    assert not any(path.suffix == ".safetensors" for path in tmp_path.rglob("*"))


def test_that_a_link_that_is_there_is_not_followed_out(hub, tmp_path):
    hub.repos["org/m"] = Repo("org/m", {"sub/m.gguf": b"GGUF"})
    (tmp_path / "m").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "m" / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadModelFile, match="leads out"):
        fetch(tmp_path / "m", "sub/m.gguf")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_that_names_that_differ_in_case_only_are_refused():
    with pytest.raises(BadModelFile, match="would be the same file"):
        check_distinct(["vocab.json", "Vocab.json"])
    check_distinct(["vocab.json", "merges.txt"])


@pytest.mark.parametrize("commit", ["../../x", "main", "", None, 7, "A" * 40, "a" * 39])
def test_that_a_commit_is_a_commit(hub, commit):
    body = json.dumps({"sha": commit, "siblings": []}).encode()
    from local_hub import Fault

    hub.spoil("api", Fault(status=200, body=body, times=-1))
    with Client(patience=QUICK) as client, pytest.raises(AppError, match="makes no sense"):
        model(client, "org/m")


@pytest.mark.parametrize("row", [None, 7, [], {}, {"rfilename": 1}, {"rfilename": "a", "size": -1}])
def test_that_odd_rows_in_a_list_of_files_are_left_out(hub, row):
    hub.repos["org/m"] = Repo("org/m", {"config.json": b"{}"}, extra=[row])
    with Client(patience=QUICK) as client:
        files = model(client, "org/m", card=False).files
    assert [file.name for file in files] == ["config.json"]
    assert isinstance(files[0], HubFile)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Qwen/Qwen3-8B", ("Qwen/Qwen3-8B", "")),
        ("meta-llama/Llama-3.2-1B@main", ("meta-llama/Llama-3.2-1B", "main")),
        ("a/b@refs/pr/1", ("a/b", "refs/pr/1")),
        ("a/b@" + "0" * 40, ("a/b", "0" * 40)),
        *[(text, None) for text in (
            "", "sample", "a", "/a/b", "a/b/c", "./a", "../a", "~/a", "a/", "/a", "a\\b", "C:/a",
            "a/b.gguf", "a/b.safetensors", "a b/c", "a/..", "../..", "a/b@", "a/b@../c", "a/b@c d",
            "a--b/c", "-a/b", "a/" + "b" * 200, "a/b\n", "\u00e9/b",
        )],
    ],
)  # fmt: skip
def test_that_ids_and_paths_are_told_apart(text, found):
    assert hub_id(text) == found
    assert is_hub_id(text) == (found is not None)
