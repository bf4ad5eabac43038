"""A Vault on this machine that keeps what it is told, as Vault's HTTP API has it, without storing any secret."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "a-token-of-the-test"  # noqa: S105 (opens nothing)


class FakeVault:
    """What a Vault holds: mounts, logins, and whatever is written below them.

    Attributes:
        held: What is at each path.
        asked: Method and path of each request that changed something.
    """

    def __init__(self) -> None:
        self.mounts: dict[str, Any] = {"sys/": {"type": "system", "options": None}}
        self.logins: dict[str, Any] = {"token/": {"type": "token"}}
        self.held: dict[str, Any] = {
            "sys/policies/acl/default": {"policy": ""},
            "sys/policies/acl/root": {"policy": ""},
        }
        self.asked: list[str] = []
        self.address = ""

    def answer(self, method: str, path: str, query: str, body: Any) -> tuple[int, Any]:
        """Return status and answer of a request."""
        if method == "GET":
            return self._read(path, listing=query == "list=true")
        self.asked.append(f"{method} {path}")
        folder, _, name = path.rpartition("/")
        if folder in ("sys/mounts", "sys/auth"):
            place = self.mounts if folder == "sys/mounts" else self.logins
            if f"{name}/" in place:
                return 400, {"errors": [f"path is already in use at {name}/"]}
            place[f"{name}/"] = {"options": None, **body}
        elif path.startswith("auth/") and f"{path.split('/')[1]}/" not in self.logins:
            return 404, {"errors": [f"no handler for route {path}"]}
        elif method == "DELETE":
            self.held.pop(path, None)
        else:
            self.held[path] = body
        return 204, None

    def _read(self, path: str, *, listing: bool) -> tuple[int, Any]:
        if path in ("sys/mounts", "sys/auth"):
            return 200, {"data": self.mounts if path == "sys/mounts" else self.logins}
        if listing:
            keys = [held.removeprefix(f"{path}/") for held in self.held if held.startswith(f"{path}/")]
            return (200, {"data": {"keys": keys}}) if keys else (404, {"errors": []})
        if path not in self.held:
            return 404, {"errors": []}
        # Vault gives no reviewer's token back.
        return 200, {"data": {key: value for key, value in self.held[path].items() if key != "token_reviewer_jwt"}}


@contextmanager
def serving() -> Iterator[FakeVault]:
    """Serve a Vault on a free port of this machine."""
    vault = FakeVault()

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            url = urlsplit(self.path)
            if self.headers["X-Vault-Token"] != TOKEN:
                status, answer = 403, {"errors": ["permission denied"]}
            else:
                path = unquote(url.path.removeprefix("/v1/"))
                status, answer = vault.answer(self.command, path, url.query, body)
            self.send_response(status)
            text = b"" if answer is None else json.dumps(answer).encode()
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _reply  # noqa: N815 (names of http.server)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        vault.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield vault
        server.shutdown()
