"""Everything that can go wrong on the way: each ends as it should, and nothing wrong is kept."""

import errno
import json
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
from hub_parts import QUICK, bytes_of
from local_hub import Fault, Repo, bomb

from app.core.errors import AppError, BadModelFile, NotEnoughSpace, Unsupported
from app.core.events import Note, Progress
from app.hub import download as module
from app.hub import errors, file_download
from app.hub.client import Client
from app.hub.details import model
from app.hub.download import Wish, download
from app.hub.selection import select

SIZE = 300_000
BODY = bytes_of(SIZE)
NAME = "model.safetensors"


@pytest.fixture
def hub(hub):
    files = {NAME: BODY, "config.json": b'{"a": 1}', "tokenizer.json": bytes_of(30_000, 2)}
    hub.repos["org/m"] = Repo("org/m", files)
    return hub


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models" / "m"


@pytest.fixture
def fetch(hub, folder):
    """Download in this process; the events."""

    def run(**wish):
        with Client(patience=QUICK) as client:
            details = model(client, "org/m", card=False)
            return list(download(client, Wish(details, select(details), folder, **wish)))

    return run


def ranges(hub, name=NAME):
    return [seen.first for seen in hub.requests("content", name)]


def whole(hub, folder):
    """Whether everything is there, and nothing else."""
    names = {path.name for path in folder.iterdir()} - {".nibble.json", ".nibble.lock"}
    files = hub.repos["org/m"].files
    return names == set(files) and all((folder / n).read_bytes() == files[n] for n in names)


def test_that_all_files_arrive_and_progress_ends_at_all_of_them(hub, fetch, folder):
    events = fetch()
    assert whole(hub, folder)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.phase, last.overall) == ("download", 1.0)
    assert last.done == last.total == sum(map(len, hub.repos["org/m"].files.values()))


def test_that_a_dropped_connection_goes_on_where_it_stood(hub, fetch, folder):
    weights(hub, Fault(cut=100_000), Fault(cut=50_000))
    fetch()
    assert whole(hub, folder)
    assert ranges(hub) == [None, 100_000, 150_000]


def weights(hub, *faults):
    """Spoil the answers for the weights, one after the other; the tokenizer comes before."""
    hub.spoil("content", Fault())
    for fault in faults:
        hub.spoil("content", fault)


def test_that_a_server_without_ranges_is_read_from_the_start_again(hub, fetch, folder):
    weights(hub, Fault(cut=100_000), Fault(ignore_range=True))
    fetch()
    assert whole(hub, folder)
    assert ranges(hub) == [None, 100_000]


def test_that_a_file_that_changed_meanwhile_is_read_from_the_start_again(hub, fetch, folder):
    weights(hub, Fault(cut=100_000), Fault(etag='"another"'))
    fetch()
    assert whole(hub, folder)
    etag = f'"{hub.repos["org/m"].sha256(NAME)[:32]}"'
    assert hub.requests("content", NAME)[1].headers["if-range"] == etag


def test_that_a_range_of_another_file_is_not_taken(hub, fetch, folder):
    """A server that ignores If-Range and answers with a part of the new file."""
    weights(hub, Fault(cut=100_000), Fault(headers={"ETag": '"another"'}))
    fetch()
    assert whole(hub, folder)
    assert ranges(hub) == [None, 100_000, None]


def test_that_a_range_that_starts_elsewhere_is_not_taken(hub, fetch, folder):
    weights(hub, Fault(cut=100_000), Fault(shift=10))
    fetch()
    assert whole(hub, folder)
    assert ranges(hub) == [None, 100_000, None]


def test_that_a_hub_that_has_less_than_we_do_is_asked_from_the_start(hub, fetch, folder):
    weights(hub, Fault(cut=100_000), Fault(status=416))
    fetch()
    assert whole(hub, folder)
    assert ranges(hub) == [None, 100_000, None]


def test_that_an_answer_that_is_too_long_is_not_taken(hub, fetch, folder):
    weights(hub, Fault(longer=5))
    fetch()
    assert whole(hub, folder)


def test_that_an_answer_that_is_always_too_long_fails(hub, fetch, folder):
    weights(hub, Fault(longer=5, times=-1))
    with pytest.raises(errors.HubError, match="makes no sense"):
        fetch()
    assert not (folder / NAME).exists()


def test_that_an_answer_that_is_too_short_is_not_taken(hub, fetch, folder):
    weights(hub, Fault(body=BODY[:-1]), Fault(body=b""))
    fetch()
    assert whole(hub, folder)


def test_that_a_flipped_bit_is_noticed_and_the_file_read_again(hub, fetch, folder):
    weights(hub, Fault(flip=200_000), Fault(flip=3))
    fetch()
    assert whole(hub, folder)
    assert ranges(hub) == [None, None, None]


@pytest.mark.parametrize("name", [NAME, "config.json", "tokenizer.json"])
def test_that_a_damaged_file_is_never_accepted(hub, fetch, folder, name):
    other = {NAME: "a" * 64, "tokenizer.json": "b" * 64, "config.json": "c" * 40}[name]
    hub.repos["org/m"].hashes[name] = other
    with pytest.raises(errors.DamagedDownload, match=f"{name} arrived damaged"):
        fetch()
    assert not (folder / name).exists()
    assert not (folder / f"{name}.part").exists()
    asked = hub.requests("content", name) or hub.requests("hub", f"resolve/{_commit(hub)}/{name}")
    assert len(asked) == 3


def _commit(hub):
    return hub.repos["org/m"].commit


@pytest.mark.parametrize("status", [500, 502, 503])
def test_that_a_hub_in_trouble_is_asked_again(hub, fetch, folder, status):
    hub.spoil("resolve", Fault(status=status, times=2))
    hub.spoil("api", Fault(status=status))
    fetch()
    assert whole(hub, folder)


def test_that_a_hub_in_lasting_trouble_is_an_error_in_words(hub, fetch):
    hub.spoil("resolve", Fault(status=503, times=-1))
    with pytest.raises(errors.ServerTrouble, match="has trouble at the moment"):
        fetch()


def test_that_an_expired_address_of_a_file_server_is_asked_for_again(hub, fetch, folder):
    weights(hub, Fault(status=403), Fault(status=404))
    fetch()
    assert whole(hub, folder)


def test_that_the_hub_is_left_alone_for_as_long_as_it_asks(hub, fetch, folder):
    hub.spoil("resolve", Fault(status=429, headers={"Retry-After": "1"}))
    began = time.monotonic()
    fetch()
    assert time.monotonic() - began >= 1
    assert whole(hub, folder)


def test_that_a_long_wait_is_left_to_the_user(hub, fetch):
    hub.spoil("resolve", Fault(status=429, headers={"Retry-After": "1200"}, times=-1))
    with pytest.raises(errors.TooManyRequests, match="too many requests") as caught:
        fetch()
    assert "20 min" in caught.value.hint


@pytest.mark.parametrize("date", ["", "Wed, 21 Oct 2026 07:28:00 GMT", "-3", "9" * 400])
def test_that_a_strange_wait_does_not_hang(hub, fetch, date):
    hub.spoil("api", Fault(status=429, headers={"Retry-After": date}, times=-1))
    with pytest.raises(errors.TooManyRequests):
        fetch()


def test_that_a_closed_model_says_step_by_step_what_to_do(hub, fetch):
    hub.repos["org/m"].gated = "manual"
    with pytest.raises(errors.AccessDenied, match="org/m is only given to people who") as caught:
        fetch()
    assert f"{hub.endpoint}/org/m" in caught.value.hint
    assert all(f"{number}. " in caught.value.hint for number in (1, 2, 3, 4))


def test_that_an_account_that_may_not_is_told_so(hub, fetch, monkeypatch):
    hub.repos["org/m"].gated = "manual"
    hub.tokens.add("hf_stranger0000")
    monkeypatch.setenv("HF_TOKEN", "hf_stranger0000")
    with pytest.raises(errors.AccessDenied, match="Your account may not download org/m"):
        fetch()


def test_that_an_account_that_may_gets_it(hub, fetch, folder, monkeypatch):
    hub.repos["org/m"].gated = "manual"
    hub.repos["org/m"].allowed.add("hf_friend000000")
    hub.tokens.add("hf_friend000000")
    monkeypatch.setenv("HF_TOKEN", "hf_friend000000")
    fetch()
    assert whole(hub, folder)


def test_that_a_token_that_is_no_longer_good_is_named_as_the_reason(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_withdrawn000")
    with pytest.raises(errors.AccessDenied, match="does not accept your access token"):
        fetch()


def test_that_a_model_that_is_gone_is_named(hub, fetch, monkeypatch):
    del hub.repos["org/m"]
    with pytest.raises(errors.AccessDenied, match="no model called org/m, or it is private"):
        fetch()
    hub.tokens.add("hf_friend000000")
    monkeypatch.setenv("HF_TOKEN", "hf_friend000000")
    with pytest.raises(BadModelFile, match="There is no model called org/m"):
        fetch()


def test_that_going_in_circles_ends(hub, fetch):
    repo = hub.repos["org/m"]
    circle = f"{hub.endpoint}/org/m/resolve/{repo.commit}/config.json"
    hub.spoil("resolve", Fault(location=circle, times=-1))
    with pytest.raises(errors.HubError, match="makes no sense") as caught:
        fetch()
    assert "circles" in caught.value.details
    assert len(hub.requests("hub", "config.json")) < 20


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/x", "//", "http://["])
def test_that_a_redirect_leads_to_servers_only(hub, fetch, address):
    hub.spoil("resolve", Fault(location=address, times=-1))
    with pytest.raises(errors.HubError):
        fetch()


def test_that_a_compressed_answer_is_not_unpacked(hub, fetch, folder):
    body = bomb(50_000_000)
    gzipped = Fault(status=200, body=body, headers={"Content-Encoding": "gzip"}, times=-1)
    for kind in ("api", "resolve"):
        hub.faults.clear()
        hub.spoil(kind, gzipped)
        with pytest.raises(errors.HubError, match="makes no sense") as caught:
            fetch()
        assert "compressed" in caught.value.details
    assert not (folder / "config.json").exists()


@pytest.mark.parametrize("body", [b"", b"<html>Sign in to this hotel", b"[" * 100_000, b"[]", b"7"])
def test_that_an_answer_of_something_else_is_said_to_be_that(hub, fetch, body):
    hub.spoil("api", Fault(status=200, body=body, times=-1))
    with pytest.raises(errors.HubError, match="makes no sense"):
        fetch()


def test_that_no_connection_is_said_to_be_none(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(errors.Offline, match=r"127\.0\.0\.1:9 cannot be reached"):
        fetch()
    assert time.monotonic() - began < 3


def test_that_a_hub_that_does_not_answer_is_given_up(hub, fetch):
    hub.spoil("api", Fault(wait=5, times=-1))
    with (
        pytest.raises(errors.Offline),
        Client(patience=replace(QUICK, read=0.2, tries=2)) as client,
    ):
        model(client, "org/m")


def test_that_nothing_is_asked_where_going_online_is_switched_off(hub, fetch, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AppError, match="switched off"):
        fetch()
    assert hub.seen == []


def test_that_a_slow_download_shows_its_speed_and_stops_at_once(hub, folder):
    weights(hub, Fault(rate=20_000, times=-1))
    with Client(patience=QUICK) as client:
        details = model(client, "org/m", card=False)
        events = download(client, Wish(details, select(details), folder))
        seen = []
        for event in events:
            seen.append(event)
            if isinstance(event, Progress) and event.done > 35_000:
                break
        began = time.monotonic()
        events.close()
    assert time.monotonic() - began < 1
    assert not (folder / NAME).exists()
    note = json.loads((folder / f"{NAME}.part.json").read_bytes())
    assert 0 < note["safe"] <= (folder / f"{NAME}.part").stat().st_size


def test_that_a_download_that_was_stopped_goes_on_where_it_stood(hub, folder, fetch):
    test_that_a_slow_download_shows_its_speed_and_stops_at_once(hub, folder)
    safe = json.loads((folder / f"{NAME}.part.json").read_bytes())["safe"]
    hub.faults.clear()
    fetch()
    assert whole(hub, folder)
    assert ranges(hub)[-1] == safe
    assert len(hub.requests("hub", "config.json")) == 1  # what is complete is not asked for again


def test_that_no_more_is_believed_than_was_made_safe(hub, folder, fetch):
    test_that_a_slow_download_shows_its_speed_and_stops_at_once(hub, folder)
    note = json.loads((folder / f"{NAME}.part.json").read_bytes())
    with (folder / f"{NAME}.part").open("ab") as part:
        part.write(b"after the power cut" * 100)
    hub.faults.clear()
    fetch()
    assert whole(hub, folder)
    assert ranges(hub)[-1] == note["safe"]


@pytest.mark.parametrize(
    "change", [{"commit": "0" * 40}, {"sha256": "0" * 64}, {"safe": 10**9}, {"safe": "1"}, None]
)
def test_that_the_beginning_of_another_file_is_thrown_away(hub, folder, fetch, change):
    test_that_a_slow_download_shows_its_speed_and_stops_at_once(hub, folder)
    sidecar = folder / f"{NAME}.part.json"
    note = json.loads(sidecar.read_bytes())
    sidecar.write_text(json.dumps({**note, **change}) if change else "{")
    hub.faults.clear()
    fetch()
    assert whole(hub, folder)
    assert ranges(hub)[-1] is None


def test_that_a_limit_of_speed_is_kept(hub, folder, fetch):
    began = time.monotonic()
    fetch(bytes_a_second=330_000)
    assert 0.6 < time.monotonic() - began < 3
    assert whole(hub, folder)


def test_that_too_small_a_disk_is_refused_with_numbers_before_anything_large(
    hub, fetch, monkeypatch
):
    monkeypatch.setattr(module, "free_bytes", lambda _: 200_000)
    with pytest.raises(NotEnoughSpace, match=r"are needed and 200 kB are free"):
        fetch(bytes_after=1_000_000)
    assert hub.requests("content", NAME) == []


def test_that_a_disk_that_fills_up_keeps_what_there_is(hub, fetch, folder, monkeypatch):
    room = [200_000]

    class Full:
        def __init__(self, file):
            self._file = file

        def write(self, piece):
            room[0] -= len(piece)
            if room[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self._file.write(piece)

        def __getattr__(self, name):
            return getattr(self._file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

    opened = file_download.FileDownload._opened
    with monkeypatch.context() as patch:
        patch.setattr(file_download.FileDownload, "_opened", lambda self: Full(opened(self)))
        with pytest.raises(NotEnoughSpace, match=f"{NAME} could not be written"):
            fetch()
    assert not (folder / NAME).exists()
    fetch()
    assert whole(hub, folder)


def test_that_two_programs_do_not_write_the_same_files(hub, fetch, folder, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.1)
    folder.mkdir(parents=True)
    owner = module.FileLock(folder / ".nibble.lock")
    assert owner.acquire()
    with pytest.raises(AppError, match="Another program is downloading org/m"):
        fetch()
    owner.release()
    fetch()


def test_that_a_list_of_a_hundred_thousand_files_is_read(hub, fetch, folder):
    hub.repos["org/m"].extra = [
        {"rfilename": f"part-{n}.txt", "size": 1, "blobId": "0" * 40} for n in range(100_000)
    ]
    fetch()
    assert whole(hub, folder)


def test_that_a_file_changed_by_somebody_else_is_noticed(hub, fetch, folder):
    fetch()
    (folder / NAME).write_bytes(BODY[:-1] + b"x")
    fetch()
    assert whole(hub, folder)


def test_that_somebody_elses_file_of_the_same_name_is_kept(hub, fetch, folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("precious")
    with pytest.raises(Unsupported, match=r"another file called config\.json"):
        fetch()
    assert (folder / "config.json").read_text() == "precious"
    (folder / "config.json").write_bytes(hub.repos["org/m"].files["config.json"])
    fetch()
    assert whole(hub, folder)


def test_that_what_hugging_faces_programs_have_is_not_downloaded_again(
    hub, fetch, folder, tmp_path
):
    repo = hub.repos["org/m"]
    blobs = tmp_path / "hf" / "hub" / "models--org--m" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / repo.sha256(NAME)).write_bytes(BODY)
    (blobs / repo.git_sha1("config.json")).write_bytes(b"damaged!")
    events = fetch()
    assert whole(hub, folder)
    assert hub.requests("content", NAME) == []
    assert len(hub.requests("hub", "config.json")) == 1
    assert any(isinstance(event, Note) and NAME in event.text for event in events)
    assert (blobs / repo.sha256(NAME)).read_bytes() == BODY


def test_that_nothing_runs_on_after_the_end(hub, folder):
    weights(hub, Fault(rate=20_000, times=-1))
    before = threading.active_count()
    with Client(patience=QUICK) as client:
        details = model(client, "org/m", card=False)
        with closing(download(client, Wish(details, select(details), folder))) as events:
            next(event for event in events if event.done > 35_000)
    ours = [t.name for t in threading.enumerate() if t.name.startswith("download")]
    assert ours == []
    assert threading.active_count() <= before + 3  # the servers' own
