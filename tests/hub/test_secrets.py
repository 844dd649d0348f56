"""A token reaches the hub and nothing else: no log, no file, no message, no other server."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from hub_parts import QUICK, sample_files
from local_hub import Fault, Repo

from app.core.errors import Unsupported
from app.core.redaction import keep_logs_clean, redact
from app.hub.client import Client
from app.hub.token import forget_token, save_token, token
from app.worker.failure import describe

CANARY = "hf_CanaryInTheCoalMine0123456789"
SIGNED = "secret-of-the-file"
PROGRAM = """
import logging, os, sys
logging.basicConfig(level=logging.DEBUG, filename=sys.argv[1])
from app.commands.program import run
for line in sys.argv[2:]:
    run(line.split())
logging.getLogger("x").error("sent %s", {"Authorization": "Bearer " + os.environ["HF_TOKEN"]})
"""


def test_that_a_token_is_nowhere_after_every_flow(hub, tmp_path, home):
    hub.tokens.add(CANARY)
    files = sample_files()
    hub.repos["org/closed"] = Repo("org/closed", files, gated="manual", allowed={CANARY})
    hub.repos["org/refused"] = Repo("org/refused", files, gated="manual")
    hub.spoil("content", Fault(status=500))
    hub.spoil("content", Fault(cut=1000))
    flows = [
        "search closed --json",
        "inspect org/closed --json",
        "inspect org/refused",
        "inspect org/none",
        f"download org/closed --to {tmp_path / 'm'}",
        f"quantize org/closed --format Q8_0 --no-evaluate --out {tmp_path / 'x.gguf'}",
        "jobs --json",
    ]
    log = tmp_path / "log.txt"
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(log), *flows],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "HF_TOKEN": CANARY},
    )
    arguments = Path(f"/proc/{child.pid}/cmdline").read_bytes() if sys.platform == "linux" else b""
    out, err = child.communicate()
    assert (tmp_path / "x.gguf").exists(), err.decode()
    assert any(seen.headers.get("authorization") == f"Bearer {CANARY}" for seen in hub.seen)
    assert not any("authorization" in seen.headers for seen in hub.requests("content"))
    written = [path for root in (home, tmp_path) for path in root.rglob("*") if path.is_file()]
    assert log in written
    assert b"HTTP Request" in log.read_bytes()  # the log is not clean for being empty
    for secret in (CANARY, SIGNED):
        assert secret.encode() not in out + err + arguments
        assert [path for path in written if secret.encode() in path.read_bytes()] == []


def test_that_a_redirect_to_another_server_does_not_take_the_token_along(hub):
    hub.tokens.add(CANARY)
    url = f"{hub.content}/org/sample/{hub.repos['org/sample'].commit}/config.json"
    hub.spoil("resolve", Fault(location=url))
    with Client(token=CANARY, patience=QUICK) as client:
        client.read(client.file_url("org/sample", "main", "config.json"), 100)
    assert [seen.headers.get("authorization") for seen in hub.seen] == [f"Bearer {CANARY}", None]


def test_that_a_token_is_not_sent_over_an_open_line(hub):
    open_line = Client("http://hub.example", CANARY)
    assert not open_line._may_know("http://hub.example/api/models")
    closed_line = Client("https://Hub.Example", CANARY)
    assert closed_line._may_know("https://hub.example/api/models")
    assert closed_line._may_know("https://hub.example:443/api/models")
    for other in ("http://hub.example/x", "https://hub.example.org/x", "https://hub.example:444/x"):
        assert not closed_line._may_know(other)


@pytest.mark.parametrize(
    "text",
    [
        f"token is {CANARY}",
        f"{{'Authorization': 'Bearer {CANARY}'}}",
        f"authorization: {CANARY}",
        f"[(b'Authorization', b'{CANARY}')]",
        f"Bearer {CANARY[3:]}",
        f"GET https://cdn.example/f?Signature={CANARY[3:]}&Expires=1 failed",
        f"https://user:{CANARY[3:]}@hub.example/x",
    ],
)
def test_that_what_opens_a_door_is_hidden(text):
    assert CANARY[3:] not in redact(text)
    assert CANARY[3:] not in describe(RuntimeError(text)).details


@pytest.mark.parametrize("text", ["hf_home", "the basics", "GET https://hub.example/a/b 200", ""])
def test_that_other_text_stays(text):
    assert redact(text) == text


def test_that_logs_are_clean_whoever_writes_them(caplog):
    keep_logs_clean()
    keep_logs_clean()
    before = logging.getLogRecordFactory()
    log = logging.getLogger("some.library")
    log.warning("sent %s to %s", CANARY, "you")
    try:
        int(CANARY)
    except ValueError:
        log.exception("failed with %s", CANARY)
    assert "sent [hidden] to you" in caplog.text
    assert "ValueError" in caplog.text
    assert CANARY not in caplog.text
    assert logging.getLogRecordFactory() is before


@pytest.fixture
def no_keyring(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)


@pytest.fixture
def keyring(monkeypatch):
    """A keyring that keeps what it is given, until it is told to fail."""
    kept = {}

    class KeyringError(Exception):
        pass

    def check(result=None):
        if fake.broken:
            raise KeyringError
        return result

    fake = ModuleType("keyring")
    fake.broken = False
    fake.kept = kept
    fake.errors = SimpleNamespace(KeyringError=KeyringError)
    fake.get_password = lambda *key: check(kept.get(key))
    fake.set_password = lambda *args: check() or kept.update({args[:2]: args[2]})
    fake.delete_password = lambda *key: check() or kept.pop(key, None)
    monkeypatch.setitem(sys.modules, "keyring", fake)
    return fake


def test_that_a_saved_token_is_in_the_keyring_only(hub, keyring, home):
    assert "keyring" in save_token(f" {CANARY}\n")
    assert token() == CANARY
    assert list(keyring.kept.values()) == [CANARY]
    assert not (home / "hub" / "token").exists()
    forget_token()
    assert token() == ""


def test_that_without_a_keyring_only_its_owner_can_read_the_token(hub, no_keyring, home):
    said = save_token(CANARY)
    place = home / "hub" / "token"
    assert str(place) in said
    assert place.stat().st_mode & 0o777 == 0o600
    assert token() == CANARY
    forget_token()
    assert token() == ""


def test_that_a_keyring_that_fails_is_no_reason_to_fail(hub, keyring, home):
    keyring.broken = True
    save_token(CANARY)
    assert (home / "hub" / "token").exists()
    assert token() == CANARY
    forget_token()


def test_that_the_nearest_token_is_taken_and_the_shared_one_only_read(
    hub, no_keyring, tmp_path, monkeypatch
):
    shared = tmp_path / "hf" / "token"
    shared.parent.mkdir()
    shared.write_text("hf_shared000\n")
    assert token() == "hf_shared000"
    save_token("hf_own00000000")
    assert token() == "hf_own00000000"
    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    assert token() == "hf_environment"
    forget_token()
    assert shared.read_text() == "hf_shared000\n"


@pytest.mark.parametrize(
    "text", ["", " ", "two words", "hf_\n\nX-Header: 1", "hf_\u00e9", "x" * 500]
)
def test_that_what_cannot_be_a_token_is_refused(text):
    with pytest.raises(Unsupported, match="not an access token"):
        save_token(text)


def test_that_the_command_takes_the_token_from_standard_input_and_never_shows_it(
    hub, no_keyring, home
):
    command = [sys.executable, "-m", "app", "token", "--json"]
    done = subprocess.run(command, input=f"{CANARY}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert (home / "hub" / "token").read_text() == CANARY
    assert subprocess.run([*command, "--forget"], capture_output=True, check=True)
    assert not (home / "hub" / "token").exists()
