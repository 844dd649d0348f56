"""The access token of the hub: where it is looked for, and where it is kept.

In this order: the system's keyring, HF_TOKEN, our own file where there is no keyring, and the
file that Hugging Face's own programs share, which is only read.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from app.core.errors import Unsupported
from app.core.places import user_data
from app.hub.names import shared_home

_SERVICE = "Nibble"
_ACCOUNT = "huggingface.co"
_LONGEST = 400


def token() -> str:
    """The token to show to the hub; "" when there is none."""
    found = (_from_keyring, _from_environment, _from_own_file, _from_shared_file)
    return next((text for look in found if (text := look())), "")


def save_token(text: str) -> str:
    """Keep a token for the next time; returns a sentence that says where.

    Raises:
        Unsupported: It cannot be a token.
    """
    clean = _clean(text)
    if not clean:
        raise Unsupported(
            "This is not an access token.",
            'A token is one word that starts with "hf_". Copy it again from the hub\'s settings.',
        )
    keyring = _keyring()
    if keyring is not None:
        try:
            keyring.set_password(_SERVICE, _ACCOUNT, clean)
        except keyring.errors.KeyringError:
            pass
        else:
            _own_file().unlink(missing_ok=True)
            return "The token is kept in this system's keyring."
    _write_secret(_own_file(), clean)
    return (
        f"This system has no keyring. The token is kept in the file {_own_file()}, which only "
        "your account may read."
    )


def forget_token() -> None:
    """Remove what `save_token` kept."""
    keyring = _keyring()
    if keyring is not None:
        with contextlib.suppress(keyring.errors.KeyringError):
            keyring.delete_password(_SERVICE, _ACCOUNT)
    _own_file().unlink(missing_ok=True)


def _keyring() -> ModuleType | None:
    try:
        return import_module("keyring")
    except ImportError:
        return None


def _from_keyring() -> str:
    keyring = _keyring()
    if keyring is None:
        return ""
    try:
        return _clean(keyring.get_password(_SERVICE, _ACCOUNT) or "")
    except keyring.errors.KeyringError:
        return ""


def _from_environment() -> str:
    return _clean(os.environ.get("HF_TOKEN", ""))


def _from_own_file() -> str:
    return _read(_own_file())


def _from_shared_file() -> str:
    return _read(Path(os.environ.get("HF_TOKEN_PATH") or shared_home() / "token").expanduser())


def _own_file() -> Path:
    return user_data() / "hub" / "token"


def _read(path: Path) -> str:
    try:
        return _clean(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""


def _clean(text: str) -> str:
    """One word of plain characters, so that nothing else can slip into a header."""
    word = text.strip()
    plain = word.isascii() and word.isprintable() and " " not in word and len(word) <= _LONGEST
    return word if plain else ""


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # the mode below is only given to a new file
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    if sys.platform != "win32":
        path.chmod(0o600)
