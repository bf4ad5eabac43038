"""check-graph: the graph that is declared is the one that the code has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.platform import Platform, copy_of
from tests.tools import run


def check(app: Path) -> list[str]:
    """Return what the graph does not know."""
    run("git", "add", "--all", cwd=app)
    result = run(".github/scripts/check-graph", cwd=app, check=False)
    found = result.stderr.splitlines()
    assert result.returncode == bool(found)
    return found


def test_the_code_that_is_generated_uses_what_the_graph_knows(platform: Platform) -> None:
    run(".github/scripts/check-graph", cwd=platform.app)


def test_pull_requests_and_pushes_know_the_same_graph(platform: Platform) -> None:
    pulls = json.loads((platform.app / ".github/graph.json").read_text())
    pushes = json.loads((platform.ci / "config/graph.json").read_text())
    for graph in (pulls, pushes):
        graph["services"] = {name: (one["path"], one["inputs"]) for name, one in graph["services"].items()}
    assert pulls == pushes


@pytest.fixture
def app(rendered: Callable[[str], Platform], tmp_path: Path) -> Path:
    """The example: orders calls catalog, both are written in Python; search, in Go, calls nobody."""
    repository = copy_of(rendered("example").app, tmp_path)
    graph = json.loads((repository / ".github/graph.json").read_text())
    assert graph["services"]["orders"]["dependsOn"] == ["catalog"]
    graph["services"]["search"] = {"path": "services/search", "inputs": ["shared/go"], "dependsOn": []}
    (repository / ".github/graph.json").write_text(json.dumps(graph))
    for path in ("services/search/service.toml", "shared/go/go.mod"):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text("")
    return repository


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("catalog/app/shop.py", 'url = os.environ["ORDERS_URL"]', "reads ORDERS_URL, but catalog does not depend on"),
        ("catalog/test.env", "ORDERS_URL=http://orders", "add it to `dependsOn` in services.yaml"),
        ("catalog/Makefile", "test: ../../shared/go/kit.go", "uses shared/go, which is no input of catalog"),
        ("search/go.mod", "replace x => ../../shared/python", "uses shared/python, which is no input of search"),
        ("catalog/app/shop.py", 'open("services/orders/prices.json")', "uses the folder of orders"),
        ("catalog/Dockerfile", "FROM scratch\nCOPY . .", "copies ., neither in services/catalog nor in"),
        ("catalog/Dockerfile", "FROM scratch\nCOPY services/catalog \\\n  Makefile /x/", "copies Makefile,"),
        ("catalog/Dockerfile", 'FROM scratch\nADD --chown=1:1 ["VERSION", "/x"]', "copies VERSION,"),
        ("catalog/Dockerfile", "FROM scratch\nRUN --mount=type=bind,source=tools,target=/t make", "copies tools,"),
    ],
)
def test_what_the_graph_does_not_know_is_named(app: Path, file: str, text: str, says: str) -> None:
    assert check(app) == []
    path = app / "services" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    (fault,) = check(app)
    assert fault.startswith(f"services/{file}:")
    assert says in fault


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("orders/app/shop.py", 'url = os.environ["CATALOG_URL"]'),
        ("orders/app/shop.py", 'own = os.environ["ORDERS_URL"]; other = os.environ["DATABASE_URL"]'),
        ("orders/README.md", "As services/catalog/app does with SEARCH_URL and shared/go."),
        (
            "search/Dockerfile",
            "FROM scratch AS build\nCOPY shared/go/go.mod ./services/search /x/\nCOPY --from=build / /",
        ),
        ("search/Dockerfile", "FROM scratch\nADD https://acme.example/file /x\nCOPY <<EOF /y\nhi\nEOF\n"),
    ],
)
def test_what_it_knows_passes(app: Path, file: str, text: str) -> None:
    path = app / "services" / file
    path.write_text(text + "\n")
    assert check(app) == []


def test_what_is_no_text_is_passed_over(app: Path) -> None:
    (app / "services/catalog/picture").write_bytes(b"\xff\xfeORDERS_URL")
    (app / "services/catalog/dangling").symlink_to("nowhere")
    assert check(app) == []
