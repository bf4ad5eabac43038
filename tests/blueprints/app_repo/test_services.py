"""The generated services under the commands of their README. What they answer is in test_behaviour.py."""

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blueprints.app_repo.languages import programs
from tests.blueprints.app_repo.process import started
from tests.platform import Platform, answers_of, copy_of, render_spec
from tests.tools import run, tool

pytestmark = pytest.mark.slow

# Each switch alone, both, and names that are no names of variables.
NODE_SPEC = """\
apiVersion: triptych/v1
platform: {name: acme, github: {organization: acme}}
services:
  - {name: shop, language: node, dependsOn: [price-list, item-2, zoo, legacy], uses: {postgres: true, redis: true}}
  - {name: price-list, language: node, port: 9001, uses: {redis: true}, dependsOn: [zoo]}
  - {name: item-2, language: node, port: 9002, uses: {postgres: true}}
  - {name: zoo, language: node, port: 9003}
  - {name: legacy, language: other, port: 9004}
"""

KEEP_AND_CALL = """\
apiVersion: triptych/v1
platform: {name: acme, github: {organization: acme}}
services:
  - {name: ledger, language: python, uses: {redis: true, postgres: true}, dependsOn: [parcels]}
  - {name: parcels, language: java, uses: {redis: true, postgres: true}, dependsOn: [stock]}
  - {name: stock, language: go, uses: {redis: true, postgres: true}, dependsOn: [wishes]}
  - {name: wishes, language: node, uses: {redis: true, postgres: true}, dependsOn: [ledger]}
"""
KEEPS_AND_CALLS = """\
apiVersion: triptych/v1
platform: {name: acme, github: {organization: acme}}
services:
  - {name: stock, language: go, description: What is there, uses: {redis: true, postgres: true}, dependsOn: [prices]}
  - {name: prices, language: go, description: What it costs}
"""

SLOW_ROUTE = '''

@router.get("/slow")
async def slow() -> str:
    """Take a second."""
    import asyncio

    print("running", flush=True)
    await asyncio.sleep(1)
    return "done"
'''


@pytest.fixture
def python(workshop: Path) -> str:
    return str(workshop / ".venv/bin/python")


@pytest.mark.exhaustive
def test_their_own_tests_pass(workshop: Path) -> None:
    out = run("make", "test", cwd=workshop).stdout
    assert [line for line in out.splitlines() if line.startswith("==")] == [
        "== shared/python",
        "== services/catalog",
        "== services/orders",
    ]
    assert len(re.findall(r"\d+ passed", out)) == 3
    assert not re.search("skipped|warning|xfail", out)


def test_their_style_and_types_are_clean(workshop: Path) -> None:
    assert run("make", "lint", cwd=workshop).stdout.splitlines() == [
        "== shared/python",
        "== services/catalog",
        "== services/orders",
    ]


def test_a_service_stands_a_little_load_and_is_gone_afterwards(workshop: Path) -> None:
    result = run("scripts/load-smoke", "--seconds=1", "catalog", cwd=workshop)
    assert re.match(r"\d+ requests, \d+ a second, 0.00 % failed; p50 ", result.stdout)
    assert "Traceback" not in result.stderr
    assert run("pgrep", "--full", str(workshop / ".venv/bin/python"), check=False).stdout == ""


@pytest.mark.parametrize(
    "folders",
    [
        pytest.param(["shared/go", "shared/python"], id="shared"),
        pytest.param(["shared/java", "shared/node"], id="more shared", marks=pytest.mark.exhaustive),
        pytest.param(["basket", "billing", "catalog", "orders"], id="one of each"),
        pytest.param(["ledger", "legacy", "parcels", "stock", "wishes"], id="others", marks=pytest.mark.exhaustive),
    ],
)
def test_what_is_in_each_language_is_tested_and_clean(languages: Path, folders: list[str]) -> None:
    shared = folders[0].startswith("shared/")
    expected = folders if shared else [f"services/{name}" for name in folders]
    targets = [f"{folder}/{command}" for command in ("lint", "test") for folder in expected]
    out = run(
        "make", *(targets if shared else ("lint", "test", f"svc={' '.join(folders)}")), *programs(), cwd=languages
    ).stdout
    assert [line.removeprefix("== ") for line in out.splitlines() if line.startswith("==")] == expected * 2


def test_code_that_its_team_brings_has_to_say_how_it_is_tested(languages: Path, tmp_path: Path) -> None:
    app = copy_of(languages, tmp_path)
    assert "there is no code yet" in run("make", "test", "svc=legacy", cwd=app).stdout
    (app / "services/legacy/Dockerfile").write_text("FROM scratch\n")
    result = run("make", "test", "svc=legacy", cwd=app, check=False)
    assert result.returncode != 0
    assert "services/legacy/Makefile does not say yet what `make test` does" in result.stderr


def test_a_go_service_that_keeps_items_and_calls_others_compiles_with_all_its_tests(tmp_path: Path) -> None:
    """Its files are put together by both switches, which no service of the platforms that are shared here has."""
    spec = tmp_path / "services.yaml"
    spec.write_text(KEEPS_AND_CALLS)
    service = render_spec(spec, tmp_path / "repositories").app / "services/stock"
    run(tool("go"), "vet", "-tags", "integration", "./...", cwd=service)


@pytest.mark.exhaustive
def test_services_that_keep_items_and_call_each_other_are_tested_and_clean(tmp_path: Path) -> None:
    spec = tmp_path / "services.yaml"
    spec.write_text(KEEP_AND_CALL)
    app = render_spec(spec, tmp_path / "repositories").app
    run("make", "setup", "lint", "test", "integration", *programs(), cwd=app)


def test_a_broken_go_service_fails_its_tests_and_its_lint(languages: Path, tmp_path: Path) -> None:
    # A service finds its library by a path from its own folder.
    for folder in ("services/catalog", "shared/go"):
        shutil.copytree(languages / folder, tmp_path / folder)
    routes = tmp_path / "services/catalog/routes.go"
    routes.write_text(routes.read_text().replace("settings.ServiceVersion", "settings.ServiceName"))
    assert "FAIL" in run(tool("go"), "test", "./...", cwd=routes.parent, check=False).stdout


def test_a_broken_node_service_fails_its_tests_and_its_lint(languages: Path, tmp_path: Path) -> None:
    app = copy_of(languages, tmp_path)
    source = app / "services/basket/src/app.ts"
    source.write_text(source.read_text().replace("settings.serviceVersion", "settings.port"))
    tested = run("make", "test", "svc=basket", *programs(), cwd=app, check=False)
    assert "it says what it is" in tested.stdout
    linted = run("make", "lint", "svc=basket", *programs(), cwd=app, check=False)
    assert "Type 'number' is not assignable to type 'string'" in linted.stderr
    assert tested.returncode
    assert linted.returncode


@pytest.mark.exhaustive
def test_a_broken_java_service_fails_its_tests_and_its_lint_side_by_side(languages: Path, tmp_path: Path) -> None:
    app = copy_of(languages, tmp_path)
    java = app / "services/billing/src/main/java/app/service"
    routes = java / "Routes.java"
    routes.write_text(routes.read_text().replace("settings.serviceVersion()", "settings.serviceName()"))
    (java / "Spare.java").write_text("package app.service;\nfinal class Spare { }\n")
    result = run("make", "-j2", "--keep-going", "lint", "test", "svc=billing", *programs(), cwd=app, check=False)
    assert result.returncode
    assert "RoutesTest.itSaysWhatItIs" in result.stderr
    assert "Spare.java" in result.stderr
    assert "services/billing/lint] Error" in result.stderr
    assert "services/billing/test] Error" in result.stderr


@pytest.mark.exhaustive
def test_node_services_of_all_names_and_switches_are_tested_and_clean(tmp_path: Path) -> None:
    spec = tmp_path / "services.yaml"
    spec.write_text(NODE_SPEC)
    app = render_spec(spec, tmp_path).app
    run("make", "setup", *programs(), cwd=app)
    out = run("make", "lint", "test", "integration", *programs(), cwd=app).stdout
    tested = ["item-2", "legacy", "price-list", "shop", "zoo"]
    folders = ["shared/node", *(f"services/{name}" for name in tested)]
    integrated = ["services/item-2", "services/price-list", "services/shop"]
    assert [line[3:] for line in out.splitlines() if line.startswith("==")] == [*folders, *folders, *integrated]


def test_node_packages_are_pinned_as_npm_would_and_name_no_registry(languages: Path, tmp_path: Path) -> None:
    app = copy_of(languages, tmp_path)
    run("make", "shared/node/lock", *programs(), cwd=app)
    assert run("git", "status", "--short", cwd=app).stdout == ""
    for lock in ("shared/node/package-lock.json", "services/basket/package-lock.json"):
        packages = json.loads((app / lock).read_text())["packages"].values()
        assert {package.get("resolved") for package in packages} <= {None, "../../shared/node"}


def test_a_broken_service_fails_its_tests_and_only_its(bench: Path) -> None:
    routes = bench / "services/orders/app/routes.py"
    routes.write_text(routes.read_text().replace("version=app.version", "version=app.title"))
    assert "1 failed" in run("make", "test", "svc=orders", cwd=bench, check=False).stdout
    assert "passed" in run("make", "test", "svc=catalog", cwd=bench).stdout


def test_a_wrong_type_fails_the_lint(bench: Path) -> None:
    main = bench / "services/orders/app/main.py"
    main.write_text(main.read_text().replace("return app\n", "return str(app)\n"))
    result = run("make", "lint", "svc=orders", cwd=bench, check=False)
    assert result.returncode != 0
    assert 'Incompatible return value type (got "str", expected "FastAPI")' in result.stdout


def test_a_service_that_is_not_there_is_named_with_those_that_are(workshop: Path) -> None:
    result = run("make", "test", "svc=order", cwd=workshop, check=False)
    assert result.returncode != 0
    assert "there is no service order; there are: catalog orders" in result.stderr


def test_make_run_serves_until_it_is_stopped(workshop: Path) -> None:
    with started("make", "run", "svc=catalog", cwd=workshop) as service:
        assert json.loads(service.get("/")[1])["service"] == "catalog"
        os.killpg(service.process.pid, signal.SIGINT)  # what Ctrl-C does
        service.process.communicate(timeout=5)
        with pytest.raises(OSError, match="refused"):
            service.get("/")


def test_make_run_without_a_service_says_which_there_are(workshop: Path) -> None:
    result = run("make", "run", cwd=workshop, check=False)
    assert result.returncode != 0
    assert "Which service? make run svc=NAME, of: catalog orders" in result.stderr


def test_sigterm_lets_a_running_request_finish(bench: Path, python: str) -> None:
    routes = bench / "services/catalog/app/routes.py"
    routes.write_text(routes.read_text() + SLOW_ROUTE)
    with started(python, "-m", "app", cwd=routes.parent.parent) as service:
        answers: list[tuple[int, str]] = []
        request = threading.Thread(target=lambda: answers.append(service.get("/slow")))
        request.start()
        assert service.process.stdout is not None
        while "running" not in service.process.stdout.readline():
            pass
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(OSError, match="refused"):
            service.get("/healthz")
        request.join()
        assert answers == [(200, '"done"')]
        assert service.process.wait(timeout=5) == 0


def test_the_readme_s_route_works(bench: Path, python: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (bench / "README.md").read_text(), re.DOTALL)
    routes = bench / "services/catalog/app/routes.py"
    routes.write_text(f"{routes.read_text()}\n\n{code}")
    run("make", "lint", "test", "svc=catalog", cwd=bench)
    with started(python, "-m", "app", cwd=routes.parent.parent) as service:
        assert service.get("/greetings/Ada") == (200, '"Hello, Ada"')
        assert 'http_route="/greetings/{name}"' in service.get("/metrics")[1]


def test_a_setting_of_the_service_is_read_and_checked(bench: Path, python: str) -> None:
    settings = bench / "services/catalog/app/settings.py"
    settings.write_text(settings.read_text() + "    page_size: int = 50\n")
    code = "from app.settings import Settings; from platformkit.settings import load; print(load(Settings).page_size)"
    folder = bench / "services/catalog"
    assert run(python, "-c", code, cwd=folder, env={"PAGE_SIZE": "7"}).stdout == "7\n"
    result = run(python, "-c", code, cwd=folder, env={"PAGE_SIZE": "many"}, check=False)
    assert (result.returncode, "PAGE_SIZE: Input should be a valid integer" in result.stderr) == (2, True)


def test_any_description_is_read_as_it_was_written(rendered: Callable[[str], Platform], python: str) -> None:
    code = """
import json, pathlib, platformkit
for path in sorted(pathlib.Path("services").glob("*/service.toml")):
    class Settings(platformkit.Settings, toml_file=path): pass
    print(json.dumps([path.parent.name, Settings().service_name, Settings().service_description]))
"""
    services = answers_of("hostile", "app-repo")["services"]
    lines = run(python, "-c", code, cwd=rendered("hostile").app).stdout.splitlines()
    expected = sorted([service["name"], service["name"], service["description"]] for service in services)
    assert sorted(map(json.loads, lines)) == expected
