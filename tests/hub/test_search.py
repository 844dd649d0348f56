"""What the hub's answers become."""

import json
from dataclasses import replace

import pytest
from hub_parts import bytes_of
from local_hub import Fault, Repo

from app.core.errors import Unsupported
from app.core.hub import HubFile, HubModelDetails, SearchPage
from app.hub.client import Client
from app.hub.details import model
from app.hub.search import Filters, model_of, search


@pytest.fixture
def hub(hub):
    original = ("transformers", "safetensors", "license:mit")
    made = ("gguf", "base_model:quantized:org/a", "license:mit")
    hub.repos.clear()
    for repo in (
        Repo(
            "org/a", {}, tags=original, downloads=500, card={}, parameters={"BF16": 8_000_000_000}
        ),
        Repo("org/b", {}, tags=original, downloads=50, likes=9, gated="manual", card={}),
        Repo("two/a-GGUF", {}, tags=made, downloads=5000, task="feature-extraction"),
        Repo("two/a-AWQ", {}, tags=(*original, "awq", "4-bit"), downloads=5),
        Repo("two/hidden-a", {}, private=True),
    ):
        hub.repos[repo.id] = repo
    return hub


def ids(page):
    return [found.id for found in page.models]


def test_that_results_come_in_the_order_that_is_asked_for(hub, client):
    assert ids(search(client, "", sort="downloads")) == [
        "two/a-GGUF",
        "org/a",
        "org/b",
        "two/a-AWQ",
    ]
    assert ids(search(client, "", sort="likes"))[0] == "org/b"
    with pytest.raises(Unsupported, match="colour"):
        search(client, "", sort="colour")


def test_that_every_filter_reaches_the_hub(hub, client):
    assert ids(search(client, "a-")) == ["two/a-GGUF", "two/a-AWQ"]
    assert ids(search(client, "", Filters(author="org"))) == ["org/a", "org/b"]
    assert ids(search(client, "", Filters(task="feature-extraction"))) == ["two/a-GGUF"]
    assert ids(search(client, "", Filters(kind="gguf"))) == ["two/a-GGUF"]
    assert ids(search(client, "", Filters(kind="original"))) == ["org/a", "org/b"]


def test_that_pages_follow_each_other_until_the_last(hub, client):
    found, page = [], ""
    for _ in range(4):
        result = search(client, "", sort="downloads", limit=1, page=page)
        found += ids(result)
        page = result.next
    assert found == ["two/a-GGUF", "org/a", "org/b", "two/a-AWQ"]
    assert page == ""


def test_that_a_result_says_what_it_is(hub, client):
    found = {one.id: one for one in search(client, "").models}
    a, b, gguf, awq = (found[name] for name in ("org/a", "org/b", "two/a-GGUF", "two/a-AWQ"))
    assert (a.parameters, a.nbytes, a.licence) == (8_000_000_000, 16_000_000_000, "mit")
    assert (a.kind, a.quantized, a.gated, a.author) == ("safetensors", "", "", "org")
    assert a.updated.startswith("2026-05-06")
    assert (b.gated, b.licence, b.likes) == ("manual", "mit", 9)
    assert (gguf.kind, gguf.quantized, gguf.task) == ("gguf", "GGUF", "feature-extraction")
    assert (awq.kind, awq.quantized) == ("safetensors", "AWQ")
    assert SearchPage.from_json(json.loads(json.dumps(search(client, "").to_json()))) == search(
        client, ""
    )


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"id": 7, "tags": "x", "downloads": "many", "likes": -1, "gated": True},
        {"id": "a/b", "tags": [None, 7, "gguf"], "safetensors": {"parameters": {"BF16": "x"}}},
        {"id": "a/b", "cardData": [], "safetensors": [], "gguf": "x", "lastModified": {}},
        {"id": "a/b\n\x1b[31m" + "c" * 1000, "downloads": 10**30, "private": "yes"},
    ],
)
def test_that_odd_answers_are_odd_results_and_no_failure(row):
    found = model_of(row)
    assert found.downloads == found.likes == 0
    assert found.id.isprintable()
    assert len(found.id) <= 300
    assert not found.private
    json.dumps(SearchPage((found,)).to_json())


def test_that_rows_that_are_no_models_are_left_out(hub, client):
    body = json.dumps([7, None, {"id": "a/b"}]).encode()
    hub.spoil("api", Fault(status=200, body=body))
    assert ids(search(client, "")) == ["a/b"]


def test_that_a_models_page_has_its_commit_files_and_text(hub, client):
    files = {"README.md": b"# Hello\n<script>", "model.safetensors": bytes_of(100)}
    card = {"license": "other", "license_name": "llama3", "base_model": ["org/a", 7]}
    repo = hub.repos["org/m"] = Repo("org/m", files, card=card)
    details = model(client, "org/m")
    assert details.commit == repo.commit
    assert details.card == "# Hello\n<script>"
    assert details.base_models == ("org/a",)
    assert details.model.licence == "llama3"
    assert set(details.files) == {
        HubFile("README.md", 16, git_sha1=repo.git_sha1("README.md")),
        HubFile("model.safetensors", 100, sha256=repo.sha256("model.safetensors")),
    }
    assert HubModelDetails.from_json(json.loads(json.dumps(details.to_json()))) == details
    old = replace(repo, files={"README.md": b"old"}, past=[])
    repo.past.append(old)
    assert model(client, "org/m", old.commit).card == "old"


@pytest.mark.parametrize(
    "address", ["hub", "ftp://hub.example", "http:///x", "http://[", "https://a:x"]
)
def test_that_a_wrong_address_of_the_hub_is_named(address):
    with pytest.raises(Unsupported, match="not the address of a hub") as caught:
        Client(address)
    assert address in caught.value.title


@pytest.mark.parametrize("fields", [{}, {"models": [{}]}, {"models": 7, "next": ""}])
def test_that_other_documents_are_no_page(fields):
    with pytest.raises(ValueError, match="not a"):
        SearchPage.from_json(fields)
    with pytest.raises(ValueError, match="not a"):
        HubModelDetails.from_json(fields)
