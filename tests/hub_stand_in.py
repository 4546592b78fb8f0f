"""A stand-in for the Hugging Face Hub: the few URLs that the library asks for, over HTTP.

Reference:
    https://huggingface.co/docs/hub/api, and the library's own requests.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "hf_good"


@dataclass
class StandIn:
    """What the server holds.

    Attributes:
        files: repository -> path -> content.
        private: repositories that were made private.
        messages: of the commits, in order.
        downloads: paths of the files that were asked for.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    messages: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    address: str = ""

    def sha(self, repository: str) -> str:
        """The name of the newest commit."""
        content = json.dumps({p: c.hex() for p, c in sorted(self.files[repository].items())})
        return hashlib.sha1(content.encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, code: int, content: object = None, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _no_repository(self) -> None:
        self._answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "Invalid username or password."})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            repository = f"{asked['organization']}/{asked['name']}"
            if repository.startswith("other/"):
                return self._answer(403, {"error": "You don't have the rights to create a model"})
            if asked.get("private") or asked.get("visibility") == "private":
                self.hub.private.add(repository)
            is_new = self.hub.files.setdefault(repository, {}) == {}
            answer = {"url": f"{self.hub.address}/{repository}", "name": repository, "id": "1"}
            return self._answer(200 if is_new else 409, answer)
        match = re.fullmatch(r"/api/models/(.+?)/(preupload|commit)/main", self.path)
        files = self.hub.files[match[1]]
        if match[2] == "preupload":
            asked = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in asked]
            return self._answer(200, {"files": modes})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "header":
                self.hub.messages.append(line["value"]["summary"])
            else:
                content = base64.b64decode(line["value"]["content"])
                files[line["value"]["path"]] = content
        sha = self.hub.sha(match[1])
        url = f"{self.hub.address}/{match[1]}/commit/{sha}"
        return self._answer(200, {"success": True, "commitOid": sha, "commitUrl": url})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path):
            repository, kind, revision = match.groups("")
            if repository not in self.hub.files:
                return self._no_repository()
            sha = self.hub.sha(repository)
            if revision not in ("", "main", sha):
                return self._answer(404, {"error": "x"}, X_Error_Code="RevisionNotFound")
            if kind != "tree":
                return self._answer(200, {"id": repository, "sha": sha, "siblings": []})
            files = self.hub.files[repository]
            entries = [
                {"type": "file", "path": p, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for p, c in files.items()
            ]
            return self._answer(200, entries)
        repository, _, rest = path[1:].partition("/resolve/")
        sha, _, name = rest.partition("/")
        content = self.hub.files.get(repository, {}).get(name)
        if content is None:
            return self._answer(404, {"error": "not found"})
        if self.command == "GET":
            self.hub.downloads.append(name)
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        return self._answer(200, content, ETag=etag, X_Repo_Commit=sha)

    def do_HEAD(self) -> None:
        self.do_GET()


@contextmanager
def hub_stand_in() -> Iterator[StandIn]:
    """Runs the server."""
    hub = StandIn()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
