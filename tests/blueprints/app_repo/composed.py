"""The platform of compose.yaml in processes on loopback: what it says of each, but for addresses."""

import gzip
import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from tests.blueprints.app_repo import stores
from tests.blueprints.app_repo.languages import LANGUAGES
from tests.blueprints.app_repo.process import free_port
from tests.blueprints.app_repo.stores import Server

# In the place of `docker compose`: hands on what it was asked, and ends as it is told.
COMPOSE = """\
#!{python}
import sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen("{url}/" + "/".join(sys.argv[1:]), timeout=60) as answer:
        sys.stdout.write(answer.read().decode())
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
"""
JAEGER, COLLECTOR = ("jaeger.compose", 16686), ("collector.compose", 4318)


@dataclass
class Composed:
    """The platform while it runs.

    Attributes:
        compose: A program with the parts of Docker Compose's command line that scripts use.
        servers: What runs, by the name that it has in compose.yaml.
        calls: What the program was asked to do.
    """

    compose: Path
    servers: dict[str, Server]
    calls: list[str] = field(default_factory=list)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Let a handler answer on a port of loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


class Quiet(BaseHTTPRequestHandler):
    """Answers, and prints nothing."""

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def jaeger(names: list[str]) -> Iterator[int]:
    """Take spans as Jaeger does, by OTLP over HTTP, and say who of `names` sent spans of a trace."""
    received: list[bytes] = []

    class Handler(Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.answer(200, "")

        def do_GET(self) -> None:
            trace = self.path.rpartition("/")[2]
            # In the form of protobuf, and in that of JSON, which Node.js speaks.
            of_it = [body for body in received if bytes.fromhex(trace) in body or trace.encode() in body]
            found = [name for name in names if any(name.encode() in body for body in of_it)]
            spans = [
                {"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}}
                for name in found
            ]
            self.answer(200 if spans else 404, json.dumps({"result": {"resourceSpans": spans}} if spans else {}))

    with serving(Handler) as port:
        yield port


def language_of(app: Path, service: str) -> str | None:
    """The language whose library a service is built with."""
    inputs = json.loads((app / ".github/graph.json").read_text())["services"][service]["inputs"]
    return inputs[0].split("/")[1] if inputs else None


def on_loopback(value: str, places: dict[tuple[str, int], int]) -> str:
    """Return a variable of compose.yaml with addresses of this machine."""

    def moved(match: re.Match[str]) -> str:
        return f"//127.0.0.1:{places[match[1], int(match[2])]}"

    return re.sub(r"//([a-z0-9.-]+):(\d+)", moved, value)


@contextmanager
def running(app: Path, folder: Path, collector: int | None = None) -> Iterator[Composed]:
    """Start what compose.yaml says; spans go to a collector's port, or at once to what stands in for Jaeger."""
    containers = yaml.safe_load((app / "compose.yaml").read_text())["services"]
    services = {name: one for name, one in containers.items() if "build" in one and language_of(app, name)}
    places = {(name, int(one["environment"]["PORT"])): free_port() for name, one in services.items()}
    with ExitStack() as stack:
        places[JAEGER] = stack.enter_context(jaeger(list(services)))
        places[COLLECTOR] = collector or places[JAEGER]
        servers: dict[str, Server] = {}
        for name, container in services.items():
            # A service that does not run has an address all the same.
            for call in re.findall(r"//([a-z0-9.-]+):(\d+)", " ".join(container["environment"].values())):
                places.setdefault((call[0], int(call[1])), free_port())
            if f"{name}-redis" in containers:
                servers[f"{name}-redis"] = stack.enter_context(stores.redis())
                places[f"{name}-redis", 6379] = servers[f"{name}-redis"].port
            if f"{name}-postgres-rw" in containers:
                servers[f"{name}-postgres-rw"] = stack.enter_context(stores.postgres())
        for server in servers.values():
            server.start()
        for name, container in services.items():
            port = places[name, int(container["environment"]["PORT"])]
            environment = {key: on_loopback(value, places) for key, value in container["environment"].items()}
            environment |= {"HOST": "127.0.0.1", "PORT": str(port), "LOG_LEVEL": "warning"}
            if "DATABASE_URL" in environment:
                environment["DATABASE_URL"] = servers[f"{name}-postgres-rw"].url
            command = list(LANGUAGES[language_of(app, name) or ""].build(app, name))
            servers[name] = Server(command, port, f"http://127.0.0.1:{port}", app / "services" / name, environment)
            stack.callback(servers[name].stop)
            servers[name].start()
        composed = Composed(folder / "compose", servers)
        told = {
            name: {"ports": [{"host_ip": "127.0.0.1", "target": int(port), "published": str(places[name, port])}]}
            for name, port in [*((name, int(one["environment"]["PORT"])) for name, one in services.items()), JAEGER]
        }
        told |= {name: {} for name in servers if name not in told}

        class Handler(Quiet):
            def do_GET(self) -> None:
                command, _, name = self.path.strip("/").partition("/")
                if command == "config":
                    self.answer(200, json.dumps({"services": told}))
                    return
                composed.calls.append(f"{command} {name}")
                {"stop": servers[name].stop, "start": servers[name].start}[command]()
                self.answer(200, "")

        port = stack.enter_context(serving(Handler))
        composed.compose.write_text(COMPOSE.format(python=sys.executable, url=f"http://127.0.0.1:{port}"))
        composed.compose.chmod(0o755)
        yield composed
