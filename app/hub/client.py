"""Requests to the hub: addresses, token, time limits, redirects, retries, and errors in words.

The token goes to the hub's own address only, and only over an encrypted connection (or to this
computer itself, for tests and local mirrors). Answers are taken as they are, never unpacked:
a small compressed answer could become a large one.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, TypeVar
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import httpx2

from app import __version__
from app.core.errors import Unsupported
from app.core.redaction import keep_logs_clean, redact
from app.hub import errors
from app.hub.token import token as find_token

Result = TypeVar("Result")

_PUBLIC = "https://huggingface.co"
_HOPS = 6
_LARGEST_ANSWER = 64_000_000
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_PORTS = {"https": 443, "http": 80}
_YES = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    connect: float = 10.0
    read: float = 20.0
    """Between two pieces of an answer."""
    whole: float = 120.0
    """For an answer that is not a file."""
    tries: int = 4
    tries_at_file: int = 8
    """Without a byte between them."""
    first_pause: float = 0.5
    """Between tries; doubles each time."""
    longest_pause: float = 30.0
    longest_wait: float = 300.0
    """When the hub asks for more, whether to go on is left to the user."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, its body still to be read."""

    status: int
    headers: Mapping[str, str]
    response: httpx2.Response

    def pieces(self) -> Iterator[bytes]:
        """The body as it arrives."""
        return self.response.iter_raw()  # without a size: what has come, not what fills it


class Client:
    """Talks to one hub. May be used from several threads; `stop` ends all of it at once."""

    def __init__(
        self, endpoint: str = "", token: str | None = None, patience: Patience | None = None
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            endpoint: Address of the hub; by default HF_ENDPOINT or the public one.
            token: Access token; None: the one of this computer's user.
            patience: Time limits.

        Raises:
            Unsupported: The endpoint is no address.
        """
        keep_logs_clean()
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or _PUBLIC).rstrip("/")
        self.patience = patience or Patience()
        self._home = _home(self.endpoint)
        self._token = find_token() if token is None else token
        self._stopped = threading.Event()
        self._open: set[httpx2.Response] = set()
        self._lock = threading.Lock()
        self._http = httpx2.Client(
            verify=_certificates(),
            timeout=httpx2.Timeout(self.patience.read, connect=self.patience.connect),
            headers={"User-Agent": f"nibble/{__version__}", "Accept-Encoding": "identity"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._http.close()

    def stop(self) -> None:
        """End every request that is under way, in whatever thread, and allow no further one."""
        self._stopped.set()
        with self._lock:
            for response in self._open:
                _shut(response)

    def pause(self, seconds: float) -> None:
        """Wait; `stop` wakes it.

        Raises:
            Offline: There is nothing more to wait for.
        """
        if self._stopped.wait(seconds):
            raise self._ended()

    def json(
        self, path: str, parameters: Sequence[tuple[str, str]] = (), about: str = ""
    ) -> tuple[Any, str]:
        """The document at `path`, and the "cursor" of the page that follows ("" if none does).

        Args:
            path: Below the endpoint, quoted.
            parameters: Of the query.
            about: The repository that it is about, for messages.

        Raises:
            AppError: See `errors`.
        """
        query = str(httpx2.QueryParams(list(parameters)))
        url = f"{self.endpoint}/{path}" + (f"?{query}" if query else "")

        def ask() -> tuple[Any, str]:
            with self.open(url, about=about) as answer:
                body = self._whole(answer, _LARGEST_ANSWER)
                following = answer.response.links.get("next", {}).get("url", "")
            try:
                cursors = parse_qs(urlsplit(str(following)).query).get("cursor", [""])
                return json.loads(body), cursors[0]
            except (ValueError, RecursionError) as error:
                raise errors.strange_answer(self.endpoint, repr(error)) from error

        return self.retried(ask)

    def read(self, url: str, limit: int, first: int = 0, about: str = "") -> bytes:
        """Up to `limit` bytes of a file from byte `first` on.

        Raises:
            AppError: See `errors`.
        """
        if limit <= 0:
            return b""
        wanted = {"Range": f"bytes={first}-{first + limit - 1}"}

        def ask() -> bytes:
            with self.open(url, wanted, about) as answer:
                if answer.status == 416:
                    return b""
                body = self._whole(answer, limit + (first if answer.status == 200 else 0), cut=True)
                return body[first:] if answer.status == 200 else body

        return self.retried(ask)

    def file_url(self, repo: str, commit: str, name: str) -> str:
        """Where the hub gives a file."""
        return f"{self.endpoint}/{quote(repo)}/resolve/{quote(commit, safe='')}/{quote(name)}"

    def retried(self, action: Callable[[], Result]) -> Result:
        """Do `action`, again where the trouble may pass by itself.

        Raises:
            AppError: It does not pass, or is not of that kind.
        """
        for number in range(1, self.patience.tries + 1):
            try:
                return action()
            except errors.HubError as error:
                wait = self.wait_after(error, number)
                if wait is None or number == self.patience.tries:
                    raise
                self.pause(wait)
        raise AssertionError

    def wait_after(self, error: errors.HubError, failures: int) -> float | None:
        """Seconds to wait before another try; None where another try makes no sense."""
        if not error.passing or self._stopped.is_set() or error.wait > self.patience.longest_wait:
            return None
        pause = min(self.patience.first_pause * 2.0**failures / 2, self.patience.longest_pause)
        return max(error.wait, pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads requests

    @contextlib.contextmanager
    def open(
        self, url: str, headers: Mapping[str, str] | None = None, about: str = ""
    ) -> Iterator[Answer]:
        """Ask once for what is at `url`, following redirects.

        Raises:
            AppError: The hub cannot be reached or refuses.
        """
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in _YES:
            raise errors.switched_off()
        response: httpx2.Response | None = None
        try:
            response = self._follow(url, headers or {})
            self._check(response, about)
            yield Answer(response.status_code, response.headers, response)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            raise self._in_words(error) from error
        finally:
            if response is not None:
                self._close(response)

    def _follow(self, url: str, headers: Mapping[str, str]) -> httpx2.Response:
        for _ in range(_HOPS):
            response = self._send(url, headers)
            if not response.has_redirect_location:
                return response
            self._close(response)
            url = self._next(url, response.headers["Location"])
        raise errors.strange_answer(self.endpoint, "it sent us in circles")

    def _next(self, url: str, location: str) -> str:
        """Where a redirect leads: to a server, and never from a safe connection to an open one."""
        try:
            following = urljoin(url, location)
            scheme, host, _ = _server(following)
        except ValueError as error:
            raise errors.strange_answer(self.endpoint, "it sent us nowhere") from error
        if not host or scheme not in {"https", self._home[0]}:
            raise errors.strange_answer(self.endpoint, f"it sent us on to {scheme}://")
        return following

    def _send(self, url: str, headers: Mapping[str, str]) -> httpx2.Response:
        proof = {"Authorization": f"Bearer {self._token}"} if self._may_know(url) else {}
        request = self._http.build_request("GET", url, headers={**headers, **proof})
        if self._stopped.is_set():
            raise self._ended()
        response = self._http.send(request, stream=True)
        with self._lock:
            self._open.add(response)
        if self._stopped.is_set():
            self._close(response)
            raise self._ended()
        return response

    def _may_know(self, url: str) -> bool:
        """Whether the server at `url` may see the token."""
        safe = self._home[0] == "https" or self._home[1] in _LOOPBACK
        return bool(self._token) and safe and self._is_home(url)

    def _is_home(self, url: str) -> bool:
        return _server(url) == self._home

    def _close(self, response: httpx2.Response) -> None:
        with self._lock:
            self._open.discard(response)
        with contextlib.suppress(httpx2.HTTPError, OSError):
            response.close()

    def _check(self, response: httpx2.Response, repo: str) -> None:
        """Raise what a status means, unless it is good (or 416, which the caller knows about)."""
        status = response.status_code
        if status in {200, 206, 416}:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise errors.strange_answer(self.endpoint, "a compressed answer, not asked for")
            return
        if status >= 500 or not self._is_home(str(response.url)):
            # Of a file server, any refusal: the address that the hub gave us may have expired.
            raise errors.server_trouble(self.endpoint, status)
        code = response.headers.get("X-Error-Code", "")
        if status in {401, 403}:
            raise self._denied(response, repo)
        if status == 404 or code in {"RepoNotFound", "RevisionNotFound", "EntryNotFound"}:
            what = {
                "RevisionNotFound": f"such version of {repo}",
                "EntryNotFound": f"file of that name in {repo}",
            }
            raise errors.not_found(what.get(code, f"model called {repo}"), self.endpoint)
        if status == 429:
            raise errors.too_many(_asked_wait(response.headers), has_token=bool(self._token))
        raise errors.strange_answer(self.endpoint, f"status {status}, {code}")

    def _denied(self, response: httpx2.Response, repo: str) -> errors.AccessDenied:
        if "invalid credentials" in response.headers.get("X-Error-Message", "").lower():
            return errors.bad_token(self.endpoint)
        if response.status_code == 403 and self._token:
            return errors.refused(self.endpoint, repo)
        hidden = response.headers.get("X-Error-Code") == "RepoNotFound"
        return errors.sign_in(self.endpoint, repo, hidden=hidden)

    def _whole(self, answer: Answer, limit: int, *, cut: bool = False) -> bytes:
        """The body; at most `limit` bytes of it where it may be `cut`."""
        deadline = time.monotonic() + self.patience.whole
        body = bytearray()
        for piece in answer.pieces():
            body += piece
            if len(body) > limit:
                if cut:
                    break
                raise errors.strange_answer(self.endpoint, f"more than {limit:,} bytes")
            if time.monotonic() > deadline:
                raise errors.offline(self.endpoint, "the answer came too slowly")
        return bytes(body[:limit])

    def _in_words(self, error: Exception) -> errors.HubError:
        if self._stopped.is_set():
            return self._ended()
        found = errors.offline(self.endpoint, repr(error))
        # No connection at all does not come back within seconds; one that broke may.
        found.passing = not isinstance(error, httpx2.ConnectError | httpx2.UnsupportedProtocol)
        return found

    def _ended(self) -> errors.HubError:
        return errors.Offline("The request was stopped.")


def _server(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what makes two addresses those of one server.

    Raises:
        ValueError: It is no address.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _home(endpoint: str) -> tuple[str, str, int]:
    try:
        found = _server(endpoint)
    except ValueError:
        found = "", "", 0
    if found[0] not in _PORTS or not found[1]:
        raise Unsupported(
            f"{redact(endpoint)!r} is not the address of a hub.",
            "Correct the setting HF_ENDPOINT, or remove it.",
        )
    return found


@cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust: the system's list; reading it takes longer than a request."""
    return httpx2.create_ssl_context()


def _asked_wait(headers: Mapping[str, str]) -> float:
    """Seconds that the hub asks us to wait; 0 when it does not say (or only by a date)."""
    said = headers.get("Retry-After", "").strip()
    return min(float(said), 86_400.0) if said.isascii() and said.isdigit() else 0.0


def _shut(response: httpx2.Response) -> None:
    """Wake whoever waits for more of this response: for that, closing is not enough."""
    stream = response.extensions.get("network_stream")
    connection = stream.get_extra_info("socket") if stream is not None else None
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
