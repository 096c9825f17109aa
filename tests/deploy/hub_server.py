"""A stand-in for the Hugging Face Hub on the loopback: what its client needs to create, commit, resolve and download."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from huggingface_hub import ModelCard, ModelCardData

TOKEN = "hf_standin"
LARGE = (".safetensors", ".onnx")  # what the hub stores as LFS


@dataclass
class Repository:
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return next(reversed(self.commits), "0" * 40)

    @property
    def content(self) -> dict[str, bytes]:
        """The files of the last commit."""
        return self.commits.get(self.head, {})

    def front_matter(self) -> ModelCardData:
        """Return the metadata of its page, as the hub's client reads them."""
        data = ModelCard(self.content["README.md"].decode(), ignore_metadata_errors=False).data
        assert isinstance(data, ModelCardData)
        return data

    def commit(self, changes: dict[str, bytes]) -> str:
        """Add a commit and return its name."""
        content = self.content | changes
        name = hashlib.sha1(f"{len(self.commits)}{sorted(changes)}".encode()).hexdigest()
        self.commits[name] = content
        return name


class Hub(ThreadingHTTPServer):
    """Repositories by name, and the requests that came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *args: Any) -> None:
        pass

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.requests.append(f"{self.command} /{path}")
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = path.split("/")
        if path == "api/repos/create":
            self._create(json.loads(self.body))
        elif path == "api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif parts[0] == "objects":
            self.server.objects[parts[1]] = self.body
            self._json({}, 200 if hashlib.sha256(self.body).hexdigest() == parts[1] else 400)
        elif parts[1].endswith(".git"):
            self._batch(json.loads(self.body))
        else:
            name = "/".join(parts[2:4] if parts[:2] == ["api", "models"] else parts[:2])
            repository = self.server.repositories.get(name)
            if repository is None or (repository.private and not self._is_logged_in()):
                self._error(401, "RepoNotFound")
            elif parts[0] == "api":
                self._api(name, repository, parts[4:])
            else:
                self._resolve(repository, parts[3], "/".join(parts[4:]))

    def _is_logged_in(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _create(self, options: dict[str, Any]) -> None:
        name = f"{options['organization']}/{options['name']}"
        if not self._is_logged_in():
            return self._error(401, "")
        address = {"url": f"{self.server.endpoint}/{name}"}
        if name in self.server.repositories:
            return self._json(address, 409)
        self.server.repositories[name] = Repository(
            private=bool(options.get("private")) or options.get("visibility") == "private"
        )
        return self._json(address)

    def _api(self, name: str, repository: Repository, parts: list[str]) -> None:
        if not parts or parts[0] == "revision":
            commit = self._commit_of(repository, parts[1] if parts else "main")
            if commit is None:
                return self._error(404, "RevisionNotFound")
            siblings = [{"rfilename": file} for file in repository.commits.get(commit, {})]
            return self._json(
                {"id": name, "sha": commit, "private": repository.private, "siblings": siblings, "tags": []}
            )
        if not self._is_logged_in():
            return self._error(403, "")
        if parts[0] == "preupload":
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(self.body)["files"]
            ]
            return self._json({"files": modes})
        changes = {}
        for line in map(json.loads, self.body.splitlines()):
            if line["key"] == "file":
                changes[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                changes[line["value"]["path"]] = self.server.objects[line["value"]["oid"]]
        commit = repository.commit(changes)
        address = f"{self.server.endpoint}/{name}/commit/{commit}"
        return self._json({"success": True, "commitUrl": address, "commitOid": commit, "hookOutput": ""})

    def _batch(self, options: dict[str, Any]) -> None:
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.server.endpoint}/objects/{item['oid']}"}}}
            for item in options["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _resolve(self, repository: Repository, revision: str, file: str) -> None:
        commit = self._commit_of(repository, revision)
        if commit is None:
            return self._error(404, "RevisionNotFound")
        content = repository.commits[commit].get(file)
        if content is None:
            return self._error(404, "EntryNotFound", {"X-Repo-Commit": commit})
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit}
        return self._answer(200, content, headers)

    @staticmethod
    def _commit_of(repository: Repository, revision: str) -> str | None:
        if revision == "main":
            return repository.head
        return revision if revision in repository.commits else None

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self._answer(status, b"", {**({"X-Error-Code": code} if code else {}), **(headers or {})})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Yield a hub that answers until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
