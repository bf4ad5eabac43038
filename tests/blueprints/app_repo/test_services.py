"""The generated services do what they say: started as a person would, asked over HTTP, stopped by a signal."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blueprints.app_repo.process import Service, started
from tests.platform import Platform, answers_of
from tests.tools import run

pytestmark = pytest.mark.slow

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
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


@pytest.fixture
def orders(workshop: Path, python: str) -> Iterator[Service]:
    environment = {"SERVICE_VERSION": "1.2.3", "SERVICE_REVISION": "abc"}
    with started(python, "-m", "app", cwd=workshop / "services/orders", **environment) as service:
        yield service


def test_their_own_tests_pass(workshop: Path) -> None:
    out = run("make", "test", cwd=workshop).stdout
    assert [line for line in out.splitlines() if line.startswith("==")] == [
        "== shared/python",
        "== catalog",
        "== orders",
    ]
    assert len(re.findall(r"\d+ passed", out)) == 3
    assert not re.search("skipped|warning|xfail", out)


def test_their_style_and_types_are_clean(workshop: Path) -> None:
    assert run("make", "lint", cwd=workshop).stdout.splitlines() == [
        "== shared/python",
        "== services/catalog",
        "== services/orders",
    ]


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


def test_it_says_who_it_is(orders: Service) -> None:
    status, body = orders.get("/")
    assert status == 200
    about = json.loads(body)
    assert (about["service"], about["version"]) == ("orders", "1.2.3")
    assert about["description"]
    assert json.loads(orders.get("/openapi.json")[1])["info"]["title"] == "orders"


def test_it_answers_the_probes(orders: Service) -> None:
    for path in ("/healthz", "/readyz"):
        status, body = orders.get(path)
        assert (status, json.loads(body)["status"]) == (200, "ok")


def test_it_is_measured(orders: Service) -> None:
    orders.get("/")
    orders.get("/nothing/of/the/kind")
    _, text = orders.get("/metrics")
    assert 'service_build_info{revision="abc",service="orders",version="1.2.3"} 1.0' in text
    labels = 'http_request_method="GET",http_response_status_code="200",http_route="/"'
    assert re.search(rf"^http_server_request_duration_seconds_count{{.*{labels}.*}} 1\.0$", text, re.MULTILINE)
    assert re.search(r'^http_server_request_duration_seconds_bucket{.*http_route="/".*le="0.25".*}', text, re.MULTILINE)
    assert 'http_response_status_code="404",http_route=""' in text
    assert "of/the/kind" not in text
    assert "process_resident_memory_bytes" in text


def test_it_logs_one_line_of_json_a_request(orders: Service) -> None:
    orders.get("/?token=secret", traceparent=f"00-{TRACE_ID}-00f067aa0ba902b7-01")
    orders.get("/nothing")
    code, lines = orders.stop()
    assert code == 0
    assert all({"time", "level", "service", "version", "message"} <= line.keys() for line in lines)
    first, second = [line for line in lines if line["logger"] == "platformkit.access"]
    assert {name: first[name] for name in ("level", "service", "version", "message", "status", "trace_id")} == {
        "level": "info",
        "service": "orders",
        "version": "1.2.3",
        "message": "GET /",
        "status": 200,
        "trace_id": TRACE_ID,
    }
    assert second["status"] == 404
    assert "trace_id" not in second


def test_sigterm_lets_a_running_request_finish(bench: Path, python: str) -> None:
    routes = bench / "services/orders/app/routes.py"
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


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PORT", "http", "PORT: Input should be a valid integer"),
        ("PORT", "65536", "PORT: Input should be less than or equal to 65535"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error'"),
        ("SHUTDOWN_SECONDS", "0", "SHUTDOWN_SECONDS: Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_refused_at_start(
    workshop: Path, python: str, variable: str, value: str, message: str
) -> None:
    result = run(python, "-m", "app", cwd=workshop / "services/orders", env={variable: value}, check=False)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_readme_s_route_works(bench: Path, python: str) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (bench / "README.md").read_text(), re.DOTALL)
    routes = bench / "services/catalog/app/routes.py"
    routes.write_text(f"{routes.read_text()}\n\n{code}")
    run("make", "lint", "test", "svc=catalog", cwd=bench)
    with started(python, "-m", "app", cwd=routes.parent.parent) as service:
        assert service.get("/greetings/Ada") == (200, '"Hello, Ada"')
        assert 'http_route="/greetings/{name}"' in service.get("/metrics")[1]


def test_a_setting_of_the_service_is_read_and_checked(bench: Path, python: str) -> None:
    settings = bench / "services/orders/app/settings.py"
    settings.write_text(settings.read_text() + "    page_size: int = 50\n")
    code = "from app.settings import Settings; from platformkit.settings import load; print(load(Settings).page_size)"
    folder = bench / "services/orders"
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
