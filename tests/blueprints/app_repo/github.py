"""An HTTP server that stands in for GitHub's API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class GitHub:
    """Records requests and answers them with the next of `answers`; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str]] = [(204, "")]
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        github = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                github.requests.append((self.path, headers, json.loads(body or "null")))
                status, text = github.answers.pop(0) if len(github.answers) > 1 else github.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)) if status != 204 else "0")
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_PATCH = do_POST  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def running() -> Iterator[GitHub]:
    github = GitHub()
    thread = Thread(target=github.server.serve_forever)
    thread.start()
    try:
        yield github
    finally:
        github.server.shutdown()
        thread.join()
        github.server.server_close()
