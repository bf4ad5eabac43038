"""Services that stand in for those of a cluster, on loopback, and the ways to them: TLS, and a kubectl."""

import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.tools import run, system_tool

# Speaks like kubectl of the two things that smoke tests ask of it. The port of each service is in a file.
KUBECTL = """\
#!{python}
import json, sys, time
from pathlib import Path
arguments = [argument for argument in sys.argv[1:] if not argument.startswith(("--namespace=", "--context="))]
with Path({log!r}).open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if arguments[:2] == ["config", "get-contexts"]:
    sys.exit(0 if arguments[2] == {context!r} else 1)
if arguments[:2] == ["auth", "can-i"]:
    print("yes" if {allowed} else "no")
    sys.exit(0 if {allowed} else 1)
service = next(argument for argument in arguments if argument.startswith("service/")).removeprefix("service/")
port = json.loads(Path({ports!r}).read_text()).get(service)
if port is None:
    sys.exit(f"error: unable to forward port because pod is not running. Current status=Pending")
print(f"Forwarding from 127.0.0.1:{{port}} -> 8080", flush=True)
time.sleep(60)
"""


@dataclass
class Service:
    """A service that answers; what it answers can be changed while it runs.

    Attributes:
        wrong: How many of the next questions get status 503, as while a version starts.
    """

    name: str
    version: str
    status: int = 200
    wrong: int = 0
    body: str | None = None
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, str]:
        self.asked.append(path)
        if self.wrong > 0:
            self.wrong -= 1
            return 503, ""
        if path == "/readyz":
            return self.status, json.dumps({"status": "ok", "failed": []})
        return 200, self.body or json.dumps({"service": self.name, "version": self.version, "description": ""})


@contextmanager
def serve(service: Service, certificate: Path | None = None) -> Iterator[int]:
    """Let a service answer on a port of loopback, with TLS where there is a certificate (key and all in one file)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = service.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that refuse a certificate hang up; that is what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake belongs to the thread of the connection: one that is never made must not hold up the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate_for(host: str, folder: Path) -> Path:
    """Make a certificate that signs itself, with its key in the same file."""
    file = folder / f"{host}.pem"
    run(
        *(system_tool("openssl", package="openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt"),
        *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={host}"),
        *("-addext", f"subjectAltName=DNS:{host}", "-keyout", file, "-out", folder / "certificate.pem"),
    )
    with file.open("a") as end:
        end.write((folder / "certificate.pem").read_text())
    return file


@dataclass
class Kubectl:
    """A kubectl that forwards to services on loopback."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "calls.jsonl"
        self.ports = self.folder / "ports.json"
        self.leads_to({})
        self._write()

    def may_forward(self, allowed: bool) -> None:
        self._write(allowed=allowed)

    def has_context(self, name: str) -> None:
        self._write(context=name)

    def _write(self, *, allowed: bool = True, context: str | None = None) -> None:
        program = self.folder / "kubectl"
        program.write_text(
            KUBECTL.format(
                python=sys.executable, log=str(self.log), ports=str(self.ports), allowed=allowed, context=context
            )
        )
        program.chmod(0o755)

    def leads_to(self, ports: dict[str, int]) -> None:
        """Say on which port of loopback each service answers; a service that is not named has no pod."""
        self.ports.write_text(json.dumps(ports))

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@dataclass
class Cluster:
    """A cluster in which services answer, each with the version that a test says, and the kubectl that reaches it."""

    kubectl: Kubectl
    services: dict[str, Service] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The folder of its kubectl."""
        return str(self.kubectl.folder)

    def run(self, service: str, version: str) -> Service:
        """Let a service run in a version; it answers for as long as `serving` lasts."""
        self.services[service].version = version
        return self.services[service]


@contextmanager
def serving(folder: Path, *names: str) -> Iterator[Cluster]:
    """Let services answer, in no version yet."""
    cluster = Cluster(Kubectl(folder))
    with ExitStack() as stack:
        ports = {}
        for name in names:
            cluster.services[name] = Service(name, "none")
            ports[name] = stack.enter_context(serve(cluster.services[name]))
        cluster.kubectl.leads_to(ports)
        yield cluster
