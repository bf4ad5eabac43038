"""affected-services: what a pull request builds and tests."""

import json
import os
from pathlib import Path

import pytest

from tests.platform import Platform, copy_of
from tests.tools import run

# checkout and orders call catalog; search is in Go; static has no Dockerfile yet.
GRAPH = {
    "services": {
        "catalog": {"path": "services/catalog", "inputs": ["shared/python"], "dependsOn": []},
        "checkout": {"path": "services/checkout", "inputs": ["shared/python"], "dependsOn": ["catalog", "orders"]},
        "orders": {"path": "services/orders", "inputs": ["shared/python"], "dependsOn": ["catalog"]},
        "search": {"path": "services/search", "inputs": ["shared/go"], "dependsOn": []},
        "static": {"path": "services/static", "inputs": [], "dependsOn": []},
    },
    "global": [".dockerignore"],
}
ALL = ["catalog", "checkout", "orders", "search", "static"]


@pytest.fixture
def app(example: Platform, tmp_path: Path) -> Path:
    """An app-repo of five services, on a branch whose base is `develop`."""
    repository = tmp_path / "app"
    copy_of(example.app / ".github", repository.parent)
    repository.mkdir()
    (repository.parent / ".github").rename(repository / ".github")
    (repository / ".github/graph.json").write_text(json.dumps(GRAPH))
    for name in ALL:
        write(repository, f"services/{name}/service.toml")
        if name != "static":
            write(repository, f"services/{name}/Dockerfile")
    for path in ("shared/python/kit.py", "shared/go/kit.go", "Makefile", "README.md", ".dockerignore"):
        write(repository, path)
    run("git", "init", "--quiet", "--initial-branch=develop", repository)
    commit(repository)
    run("git", "switch", "--quiet", "--create", "topic", cwd=repository)
    return repository


def write(repository: Path, path: str, text: str = "x\n") -> None:
    file = repository / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def commit(repository: Path, message: str = "Change") -> None:
    run("git", "add", "--all", cwd=repository)
    run("git", "commit", "--quiet", "--message", message, cwd=repository)


def affected(app: Path, *options: str, base: str = "develop") -> tuple[list[str], list[str]]:
    """Return what is built and what is tested."""
    printed = run(".github/scripts/affected-services", f"--base={base}", *options, cwd=app).stdout
    values = dict(line.split("=", 1) for line in printed.splitlines())
    assert list(values) == ["build", "test"]
    return json.loads(values["build"]), json.loads(values["test"])


@pytest.mark.parametrize(
    ("path", "build", "test"),
    [
        ("services/search/main.go", ["search"], ["search"]),
        # Who is called is tested against who calls, and the other way around; not their neighbours.
        ("services/orders/app.py", ["orders"], ["catalog", "checkout", "orders"]),
        ("services/catalog/app.py", ["catalog"], ["catalog", "checkout", "orders"]),
        ("services/static/page.html", [], ["static"]),
        ("shared/go/kit.go", ["search"], ["search"]),
        ("shared/python/new/file.py", ["catalog", "checkout", "orders"], ["catalog", "checkout", "orders"]),
        ("shared/pythonic/file.py", [], []),
        (".dockerignore", ["catalog", "checkout", "orders", "search"], ALL),
        ("contracts/checkout--orders.json", [], ["checkout", "orders"]),
        ("README.md", [], []),
        ("docs/picture.svg", [], []),
        ("Makefile", [], ALL),
        (".github/graph.json", [], ALL),
        ("services/nobody/file", [], []),
        ("services/orders/$(touch pwned); `touch pwned`\n", ["orders"], ["catalog", "checkout", "orders"]),
    ],
)
def test_a_path_says_what_is_built_and_what_is_tested(app: Path, path: str, build: list[str], test: list[str]) -> None:
    write(app, path, json.dumps(GRAPH, indent=1))
    commit(app)
    assert affected(app) == (build, test)
    assert not (app / "pwned").exists()


def test_what_others_merged_since_is_no_part_of_it(app: Path) -> None:
    write(app, "services/search/main.go")
    commit(app)
    run("git", "switch", "--quiet", "develop", cwd=app)
    write(app, "services/orders/app.py")
    commit(app)
    run("git", "switch", "--quiet", "topic", cwd=app)
    assert affected(app) == (["search"], ["search"])
    # As GitHub merges it for the check.
    run("git", "merge", "--quiet", "--no-edit", "develop", cwd=app)
    assert affected(app) == (["search"], ["search"])


def test_a_file_that_moves_affects_where_it_was_and_where_it_is(app: Path) -> None:
    write(app, "services/search/big.txt", "the same\n" * 100)
    commit(app)
    run("git", "branch", "--force", "develop", cwd=app)
    run("git", "mv", "services/search/big.txt", "services/orders/big.txt", cwd=app)
    commit(app)
    assert affected(app)[0] == ["orders", "search"]


def test_a_service_that_is_gone_is_neither_built_nor_tested_and_its_neighbours_are_tested(app: Path) -> None:
    run("git", "rm", "--quiet", "-r", "services/orders", cwd=app)
    commit(app)
    assert affected(app) == ([], ["checkout"])


@pytest.mark.parametrize("base", ["", "0" * 40, "f" * 40, "--output=pwned", "$(touch pwned)"])
def test_without_a_base_that_git_knows_everything_is_affected(app: Path, base: str) -> None:
    assert affected(app, base=base) == (["catalog", "checkout", "orders", "search"], ALL)
    assert not (app / "pwned").exists()


@pytest.mark.parametrize("name", ["$(touch hacked)", "a b", "-n", "Orders", "a\nb", '"'])
def test_a_folder_that_is_no_service_name_is_refused(app: Path, name: str) -> None:
    write(app, f"services/{name}/service.toml")
    for script in ("affected-services", "check-graph"):
        result = run(app / ".github/scripts" / script, cwd=app, check=False)
        assert (result.returncode, result.stdout) == (1, "")
        assert "is no service name" in result.stderr
    assert not (app / "hacked").exists()


@pytest.mark.parametrize("count", [255, 256, 257, 1000])
def test_a_matrix_never_has_more_than_256_legs(app: Path, count: int) -> None:
    names = [f"service-{number:04}" for number in range(count)]
    for name in names:
        write(app, f"services/{name}/service.toml")
    groups = affected(app, base="")[1]
    assert len(groups) <= 256
    assert [name for group in groups for name in group.split() if "-" in name] == names
    assert affected(app, "--max-groups=2", base="")[1][0].count("service-") > 100


def test_a_thousand_services_and_ten_thousand_files_take_less_than_a_second(app: Path) -> None:
    names = [f"service-{number:04}" for number in range(1000)]
    services = {name: {"path": f"services/{name}", "inputs": ["shared/python"], "dependsOn": []} for name in names}
    write(app, ".github/graph.json", json.dumps({**GRAPH, "services": services}))
    for name in names:
        write(app, f"services/{name}/service.toml")
    commit(app)
    run("git", "branch", "--force", "develop", cwd=app)
    files = [f"services/{name}/src/file-{number}.py" for name in names for number in range(10)]
    change = "\n".join(
        [
            "commit refs/heads/topic\ncommitter Jo <jo@acme.example> 1800000000 +0000\ndata 6\nChange",
            "from refs/heads/topic^0",
            *(f"M 100644 inline {file}\ndata 2\nx\n" for file in files),
        ]
    )
    run("git", "fast-import", "--quiet", cwd=app, stdin=change + "\n")
    times = []
    for _ in range(3):
        start = os.times()
        build, test = affected(app)
        end = os.times()
        # Of the processor: this machine may have other work.
        times.append(end.children_user + end.children_system - start.children_user - start.children_system)
    assert (len(build), len(test)) == (0, 250), "no Dockerfiles, and four services a leg"
    assert min(times) < 1, times
