"""A hub on this computer, faithful in what the application uses, and unfaithful on demand.

Two servers, as in reality: the hub itself, which knows who may have what, and a file server
("content") at another address, which large files are redirected to and which knows no tokens.
Every request is remembered. The shapes of the answers are those that huggingface_hub reads, and
`test_local_hub.py` holds them to it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

_LARGE = 20_000
_PIECE = 1 << 16


@dataclass
class Repo:
    """A model on the hub."""

    id: str
    files: dict[str, bytes]
    gated: str = ""
    allowed: set[str] = field(default_factory=set)
    private: bool = False
    card: dict[str, Any] = field(default_factory=lambda: {"license": "apache-2.0"})
    tags: tuple[str, ...] = ("transformers", "safetensors", "license:apache-2.0")
    task: str = "text-generation"
    downloads: int = 10
    likes: int = 1
    parameters: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    """Instead of the true ones."""
    extra: list[dict[str, Any]] = field(default_factory=list)
    """More rows in the list of files."""

    past: list[Repo] = field(default_factory=list)
    """Earlier versions."""

    def at(self, revision: str) -> Repo | None:
        """The repository as it was then."""
        found = (one for one in (self, *self.past) if one.commit == revision)
        return self if revision == "main" else next(found, None)

    @property
    def commit(self) -> str:
        parts = (f"{name} {_sha256(body)}" for name, body in sorted(self.files.items()))
        return hashlib.sha1("".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def is_large(self, name: str) -> bool:
        """Whether it is kept by LFS."""
        return name.endswith((".safetensors", ".gguf")) or len(self.files[name]) > _LARGE

    def sha256(self, name: str) -> str:
        return self.hashes.get(name) or _sha256(self.files[name])

    def git_sha1(self, name: str) -> str:
        return self.hashes.get(name) or _git_sha1(self.files[name])


@cache
def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@cache
def _git_sha1(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


@dataclass
class Fault:
    """How one answer is spoiled."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None
    """Bytes after which the connection is dropped."""
    ignore_range: bool = False
    etag: str = ""
    longer: int = 0
    """Bytes that the answer claims and has beyond the file's."""
    shift: int = 0
    """Bytes that an answer to a range is off."""
    flip: int | None = None
    """Place of a byte with one wrong bit."""
    rate: float = 0.0
    """Bytes a second."""
    location: str = ""
    wait: float = 0.0
    """Seconds before the answer."""
    times: int = 1
    """Answers that it spoils; negative: all."""


@dataclass(frozen=True)
class Seen:
    """A request."""

    server: str
    """"hub" or "content"."""
    method: str
    path: str
    headers: dict[str, str]

    @property
    def first(self) -> int | None:
        """Where the range that it asks for begins."""
        match = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(match[1]) if match else None


class LocalHub:
    """Starts on `with`; `endpoint` is its address."""

    def __init__(self, *repos: Repo, page: int = 1000) -> None:
        self.repos = {repo.id: repo for repo in repos}
        self.page = page
        self.tokens: set[str] = set()
        self.seen: list[Seen] = []
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.etags: dict[str, str] = {}
        self._lock = threading.Lock()
        self._hub = self._serve(_Hub, "hub")
        self._content = self._serve(_Content, "content")
        self.endpoint = f"http://127.0.0.1:{self._hub.server_port}"
        self.content = f"http://127.0.0.1:{self._content.server_port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._hub, self._content):
            server.shutdown()
            server.server_close()

    def spoil(self, kind: str, fault: Fault) -> None:
        """Spoil the next answers of a kind: "api", "resolve", "small" (files) or "content"."""
        self.faults[kind].append(fault)

    def take_fault(self, kind: str) -> Fault:
        with self._lock:
            waiting = self.faults[kind]
            if not waiting:
                return Fault()
            fault = waiting[0]
            fault.times -= 1
            if fault.times == 0:
                waiting.pop(0)
            return fault

    def requests(self, server: str, part: str = "") -> list[Seen]:
        return [seen for seen in self.seen if seen.server == server and part in seen.path]

    def _serve(self, handler: type[_Handler], name: str) -> ThreadingHTTPServer:
        kind = type(name, (handler,), {"hub": self, "server_name": name})
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server


class _Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    server_name: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the other side went away
            self.close_connection = True

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.hub.seen.append(Seen(self.server_name, self.command, self.path, headers))
        self.route(urlsplit(self.path))

    def route(self, url: Any) -> None:
        raise NotImplementedError

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def spoiled(self, fault: Fault) -> bool:
        """Say something else altogether, if the fault is of that kind."""
        if fault.wait:
            time.sleep(fault.wait)
        if fault.location:
            self.say(302, b"", {"Location": fault.location})
            return True
        if fault.status:
            self.say(fault.status, fault.body or b"", fault.headers)
            return True
        return False

    def say(
        self, status: int, body: bytes, headers: dict[str, str], fault: Fault | None = None
    ) -> None:
        fault = fault or Fault()
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) + fault.longer))
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in _spoilt(body, fault):
            self.wfile.write(piece)
        if fault.cut is not None:
            self.close_connection = True
            self.connection.close()

    def refuse(self, status: int, code: str, message: str = "") -> None:
        body = json.dumps({"error": message or code}).encode()
        self.say(status, body, {"X-Error-Code": code, "X-Error-Message": message or code})

    def document(self, found: object, headers: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self.say(200, json.dumps(found).encode(), {**kind, **(headers or {})})

    def send_file(self, repo: Repo, name: str, etag: str, headers: dict[str, str]) -> None:
        """A file or a range of it, as RFC 9110 has it."""
        fault = self.hub.take_fault("small" if self.server_name == "hub" else "content")
        if self.spoiled(fault):
            return
        body = repo.files[name]
        etag = fault.etag or self.hub.etags.get(name) or etag
        headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes", **fault.headers}
        if fault.body is not None:
            self.say(200, fault.body, headers, fault)
            return
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in {None, etag}
        if wanted is None or not same or fault.ignore_range:
            self.say(200, body + b"x" * fault.longer, headers, _no_length(fault))
            return
        first = int(wanted[1])
        last = min(int(wanted[2] or len(body) - 1), len(body) - 1)
        if first >= len(body):
            self.say(416, b"", {**headers, "Content-Range": f"bytes */{len(body)}"})
            return
        said = first + fault.shift
        headers["Content-Range"] = f"bytes {said}-{last}/{len(body)}"
        self.say(206, body[first : last + 1], headers, fault)


class _Hub(_Handler):
    def route(self, url: Any) -> None:
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        query = parse_qs(url.query)
        if self.token and self.token not in self.hub.tokens:
            self.refuse(401, "", "Invalid credentials in Authorization header")
            return
        if parts[:2] == ["api", "models"]:
            if not self.spoiled(self.hub.take_fault("api")):
                self._api(parts[2:], query)
        elif len(parts) > 4 and parts[2] == "resolve":
            if not self.spoiled(self.hub.take_fault("resolve")):
                self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self.refuse(404, "NotFound")

    def _api(self, parts: list[str], query: dict[str, list[str]]) -> None:
        if not parts:
            self._search(query)
            return
        repo = self._repo("/".join(parts[:2]))
        if repo is None:
            return
        revision = parts[3] if len(parts) > 3 else "main"
        repo = repo.at(revision)
        if repo is None:
            self.refuse(404, "RevisionNotFound")
        elif parts[2:3] == ["tree"]:
            self._tree(repo, revision, query)
        else:
            self.document(_info(repo, blobs=bool(query.get("blobs"))))

    def _repo(self, name: str) -> Repo | None:
        repo = self.hub.repos.get(name)
        if repo is not None and (not repo.private or self.token in repo.allowed):
            return repo
        self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
        return None

    def _search(self, query: dict[str, list[str]]) -> None:
        def asked(key: str) -> str:
            return query.get(key, [""])[0]

        found = [
            repo
            for repo in self.hub.repos.values()
            if asked("search").lower() in repo.id.lower()
            and asked("author") in {"", repo.id.split("/")[0]}
            and asked("pipeline_tag") in {"", repo.task}
            and set(query.get("filter", [])) <= set(repo.tags)
            and not repo.private
        ]
        key = asked("sort")
        found.sort(key=lambda repo: -getattr(repo, key, 0))
        start, limit = int(asked("cursor") or 0), int(asked("limit") or 1000)
        page = found[start : start + limit]
        link = {}
        if start + limit < len(found):
            rest = {**{k: v for k, v in query.items() if k != "cursor"}, "cursor": start + limit}
            address = f"{self.hub.endpoint}/api/models?{urlencode(rest, doseq=True)}"
            link["Link"] = f'<{address}>; rel="next"'
        self.document([_row(repo, query.get("expand", [])) for repo in page], link)

    def _tree(self, repo: Repo, revision: str, query: dict[str, list[str]]) -> None:
        names, start = sorted(repo.files), int(query.get("cursor", ["0"])[0])
        page = names[start : start + self.hub.page]
        link = {}
        if start + self.hub.page < len(names):
            address = f"{self.hub.endpoint}/api/models/{repo.id}/tree/{revision}"
            link["Link"] = f'<{address}?cursor={start + self.hub.page}>; rel="next"'
        self.document([_entry(repo, name) for name in page], link)

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        repo = repo.at(revision)
        if repo is None:
            self.refuse(404, "RevisionNotFound")
        elif file not in repo.files:
            self.refuse(404, "EntryNotFound")
        elif repo.gated and self.token not in repo.allowed:
            self.refuse(403 if self.token else 401, "GatedRepo", f"{name} is gated")
        elif repo.is_large(file):
            size, sha256 = str(len(repo.files[file])), repo.sha256(file)
            place = quote(f"{name}/{repo.commit}/{file}")
            address = f"{self.hub.content}/{place}?Signature=secret-of-the-file"
            linked = {"X-Linked-Size": size, "X-Linked-Etag": f'"{sha256}"'}
            headers = {**linked, "X-Repo-Commit": repo.commit, "Location": address}
            self.say(302, b"", {**headers, "ETag": f'"{sha256}"'})
        else:
            self.send_file(repo, file, f'"{repo.git_sha1(file)}"', {"X-Repo-Commit": repo.commit})


class _Content(_Handler):
    def route(self, url: Any) -> None:
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        repo, file = self.hub.repos["/".join(parts[:2])].at(parts[2]), "/".join(parts[3:])
        assert repo is not None
        self.send_file(repo, file, f'"{repo.sha256(file)[:32]}"', {})


def _spoilt(body: bytes, fault: Fault) -> Iterator[bytes]:
    if fault.flip is not None and fault.flip < len(body):
        at = fault.flip
        body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
    if fault.cut is not None:
        body = body[: fault.cut]
    step = max(1, min(_PIECE, int(fault.rate / 20))) if fault.rate else _PIECE
    for start in range(0, len(body), step):
        yield body[start : start + step]
        if fault.rate:
            time.sleep(step / fault.rate)


def _no_length(fault: Fault) -> Fault:
    """The extra bytes are in the body already."""
    return Fault(cut=fault.cut, flip=fault.flip, rate=fault.rate)


def _row(repo: Repo, expand: list[str]) -> dict[str, Any]:
    whole = _info(repo, blobs=False)
    wanted = set(expand) or set(whole) - {"safetensors", "cardData", "siblings", "author"}
    return {key: value for key, value in whole.items() if key in wanted | {"_id", "id"}}


def _info(repo: Repo, *, blobs: bool) -> dict[str, Any]:
    found = {
        "_id": "621ffdc036468d709f174338",
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.split("/")[0],
        "sha": repo.commit,
        "createdAt": "2026-01-02T03:04:05.000Z",
        "lastModified": "2026-05-06T07:08:09.000Z",
        "private": repo.private,
        "disabled": False,
        "gated": repo.gated or False,
        "pipeline_tag": repo.task,
        "tags": list(repo.tags),
        "downloads": repo.downloads,
        "likes": repo.likes,
        "library_name": "transformers",
        "cardData": repo.card,
        "siblings": [_sibling(repo, name, blobs=blobs) for name in sorted(repo.files)] + repo.extra,
        "spaces": [],
        "usedStorage": sum(map(len, repo.files.values())),
    }
    if repo.parameters:
        total = sum(repo.parameters.values())
        found["safetensors"] = {"parameters": repo.parameters, "total": total}
    return found


def _sibling(repo: Repo, name: str, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": name}
    size = len(repo.files[name])
    row: dict[str, Any] = {"rfilename": name, "size": size, "blobId": repo.git_sha1(name)}
    if repo.is_large(name):
        row["lfs"] = {"sha256": repo.sha256(name), "size": size, "pointerSize": 134}
    return row


def _entry(repo: Repo, name: str) -> dict[str, Any]:
    size = len(repo.files[name])
    row: dict[str, Any] = {
        "type": "file",
        "oid": repo.git_sha1(name),
        "size": size,
        "path": name,
    }
    if repo.is_large(name):
        row["lfs"] = {"oid": repo.sha256(name), "size": size, "pointerSize": 134}
    return row


def bomb(nbytes: int) -> bytes:
    """A small compressed body that becomes `nbytes` large."""
    return gzip.compress(b"\0" * nbytes)
