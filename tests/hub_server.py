"""A hub on loopback: the part of the hub's HTTP interface that huggingface_hub uses to read, with faults."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 1_000
"""Files from this size on are stored as on the hub: under their SHA-256 (LFS)."""


@dataclass
class Repository:
    """Files of one model or data set. `gate`: closed to all; `moved_to`: its new name."""

    files: dict[str, bytes]
    gated: bool = False
    moved_to: str | None = None
    parameters: int | None = None

    @property
    def commit(self) -> str:
        h = hashlib.sha1(usedforsecurity=False)
        for name, data in sorted(self.files.items()):
            h.update(name.encode() + b"\0" + data)
        return h.hexdigest()


@dataclass
class Hub:
    """Contents and faults. `broken` by file name: `drop` closes the connection in the middle, `short` sends a file that
    is shorter than what its HEAD says, `error` answers 500, `corrupt` sends other bytes; by `api:NAME` of a repository
    a status, `html` or `no-sha`."""

    models: dict[str, Repository] = field(default_factory=dict)
    datasets: dict[str, Repository] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path = self.path.split("?")[0]
        api = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/([^/]+)|/(auth-check))?", path)
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api:
            self._info(*api.groups())
        elif file:
            self._file("datasets" if file[1] else "models", file[2], file[3], file[4], body)
        else:
            self._fault(404, "", "no such page")

    def _repository(self, kind: str, name: str) -> Repository | None:
        found = getattr(self.hub, kind).get(name)
        if found is None:
            self._fault(401, "RepoNotFound", "Repository not found")
        return found

    def _info(self, kind: str, name: str, revision: str | None, check: str | None) -> None:
        found = self._repository(kind, name)
        if found is None:
            return
        how = self.hub.broken.get(f"api:{name}", "")
        if how.isdigit():
            self._fault(int(how), "", "the server's own words")
        elif how == "html":
            self._send(200, b"<html>Please log in</html>", {"Content-Type": "text/html"})
        elif how == "no-sha":
            self._send(200, json.dumps({"id": name, "siblings": []}).encode())
        elif found.moved_to:
            self._moved(self.path.replace(name, found.moved_to))
        elif check:
            if found.gated:
                self._fault(403, "GatedRepo", f"Access to {name} is restricted")
            else:
                self._send(200, b"")
        elif revision not in (None, "main", found.commit):
            self._fault(404, "RevisionNotFound", "no such revision")
        else:
            siblings = []
            for path, data in found.files.items():
                entry: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": "0" * 40}
                if len(data) >= LARGE:
                    entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
                siblings.append(entry)
            body: dict[str, object] = {"_id": "1", "id": name, "sha": found.commit, "siblings": siblings}
            body |= {"gated": "manual" if found.gated else False, "private": False, "tags": []}
            if found.parameters:
                body["safetensors"] = {"parameters": {"F32": found.parameters}, "total": found.parameters}
            self._send(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(self, kind: str, name: str, revision: str, path: str, body: bool) -> None:
        found = self._repository(kind, name)
        if found is None:
            return
        if found.moved_to:
            self._moved(self.path.replace(name, found.moved_to))
            return
        if found.gated:
            self._fault(403, "GatedRepo", f"Access to {name} is restricted")
            return
        if revision not in ("main", found.commit):
            self._fault(404, "RevisionNotFound", "no such revision")
            return
        if path not in found.files:
            self._fault(404, "EntryNotFound", "no such file")
            return
        data = found.files[path]
        sha = hashlib.sha256(data).hexdigest() if len(data) >= LARGE else hashlib.sha1(data).hexdigest()
        headers = {"X-Repo-Commit": found.commit, "ETag": f'"{sha}"', "Accept-Ranges": "bytes"}
        if len(data) >= LARGE:
            headers |= {"X-Linked-ETag": f'"{sha}"', "X-Linked-Size": str(len(data))}
        how = self.hub.broken.get(path) if body else None
        if how == "error":
            self._fault(500, "", "internal error")
            return
        if how == "short":
            data = data[: len(data) // 2]
        if how == "corrupt":
            data = bytes(reversed(data))
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(start[1]) if start and body else 0
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self.send_response(206 if first else 200)
        for key, value in {**headers, "Content-Length": str(len(data) - first)}.items():
            self.send_header(key, value)
        self.end_headers()
        if not body:
            return
        if how == "drop":
            if not first:
                self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data[first:])

    def _moved(self, to: str) -> None:
        self._send(307, b"", {"Location": to})

    def _fault(self, status: int, code: str, message: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": message})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on a free port of loopback."""
    handler = type("Bound", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()
