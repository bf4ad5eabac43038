"""One behaviour of `uses.postgres` and `uses.redis` for every language that has them."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from tests.blueprints.app_repo import stores
from tests.blueprints.app_repo.languages import LANGUAGES, Language, having, programs
from tests.blueprints.app_repo.process import Service, started
from tests.blueprints.app_repo.stores import Server, eventually
from tests.blueprints.app_repo.test_behaviour import ask, create, samples
from tests.tools import run

pytestmark = pytest.mark.slow

Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture(scope="module", params=having("stores"))
def language(request: pytest.FixtureRequest) -> Language:
    return LANGUAGES[request.param]


@pytest.fixture(scope="module")
def folder(languages: Path, language: Language) -> Path:
    return languages / "services" / language.stores


@pytest.fixture(scope="module")
def command(languages: Path, language: Language) -> tuple[str, ...]:
    return language.build(languages, language.stores)


@pytest.fixture
def database() -> Iterator[Server]:
    with stores.postgres() as server:
        yield server


@pytest.fixture
def cache() -> Iterator[Server]:
    with stores.redis() as server:
        yield server


@pytest.fixture
def start(folder: Path, command: tuple[str, ...], database: Server, cache: Server) -> Start:
    """Starts the service with both stores named, whether or not they run."""

    def start(until: str = "/readyz", **environment: str) -> AbstractContextManager[Service]:
        stores = {"DATABASE_URL": database.url, "REDIS_URL": cache.url}
        return started(*command, cwd=folder, until=until, **stores, **environment)

    return start


def is_ready(service: Service) -> bool:
    return ask(service, "GET", "/readyz").status == 200


def reads(service: Service) -> dict[str, float]:
    return {result: sum(samples(service, "cache_requests_total", result=result)) for result in ("hit", "miss", "error")}


def test_items_outlive_the_process_and_pages_hold_each_once(start: Start, database: Server) -> None:
    database.start()
    with start() as service:
        ids = [create(service, f"lamp {number}")["id"] for number in range(5)]
        item = ask(service, "GET", f"/items/{ids[0]}").json
    with start() as service:
        assert ask(service, "GET", f"/items/{ids[0]}").json == item
        first = ask(service, "GET", "/items?limit=3").json
        assert ask(service, "DELETE", f"/items/{ids[2]}").status == 204
        second = ask(service, "GET", f"/items?limit=3&after={first['next']}").json
        assert [found["id"] for found in first["items"] + second["items"]] == ids
        assert second["next"] is None
        assert ask(service, "GET", f"/items/{ids[2]}").problem["status"] == 404
        assert samples(service, "db_client_connection_max") == [10]
        assert service.stop()[0] == 0


def test_it_waits_for_its_database_and_outlives_an_outage(start: Start, database: Server) -> None:
    with start(until="/healthz", LOG_LEVEL="error") as service:
        assert ask(service, "GET", "/healthz").status == 200
        assert ask(service, "GET", "/readyz").json == {"status": "unavailable", "failed": ["postgres"]}
        answer = ask(service, "POST", "/items", {"name": "lamp"})
        assert answer.problem["status"] == 503
        assert answer.headers["retry-after"]
        database.start()
        eventually(lambda: is_ready(service))
        item = create(service)
        database.stop()
        assert ask(service, "GET", "/items").problem["status"] == 503
        assert not is_ready(service)
        database.start()
        eventually(lambda: is_ready(service))
        assert ask(service, "GET", f"/items/{item['id']}").json == item


def test_processes_that_start_together_migrate_once(start: Start, database: Server) -> None:
    database.start()
    with ExitStack() as stack:
        services = [stack.enter_context(start()) for _ in range(2)]
        logs = [line for service in services for line in service.stop()[1]]
    assert [line["migration"] for line in logs if line["message"] == "migrated"] == ["0001_items.sql"]


def test_migrations_can_be_run_alone(folder: Path, command: tuple[str, ...], database: Server) -> None:
    env = {"DATABASE_URL": database.url}
    away = run(*command, "migrate", cwd=folder, env=env, check=False)
    assert away.returncode == 1
    assert "Cannot migrate" in away.stderr
    database.start()
    run(*command, "migrate", cwd=folder, env=env)
    run(*command, "migrate", cwd=folder, env=env)


def test_an_item_is_read_from_the_cache_until_it_is_deleted(start: Start, database: Server, cache: Server) -> None:
    database.start()
    cache.start()
    with start() as service:
        item = create(service)
        path = f"/items/{item['id']}"
        assert reads(service) == {"hit": 0, "miss": 0, "error": 0}
        assert [ask(service, "GET", path).json for _ in range(3)] == [item] * 3
        assert reads(service) == {"hit": 2, "miss": 1, "error": 0}
        ask(service, "DELETE", path)
        assert ask(service, "GET", path).status == 404


def test_it_goes_on_when_the_cache_is_killed(start: Start, database: Server, cache: Server) -> None:
    database.start()
    cache.start()
    with start() as service:
        item = create(service)
        path = f"/items/{item['id']}"
        assert ask(service, "GET", path).json == item
        cache.stop()
        for _ in range(5):
            assert ask(service, "GET", path).json == item
        assert is_ready(service)
        assert ask(service, "DELETE", path).status == 204
        assert reads(service)["error"] == 5
        cache.start()
        again = create(service)
        eventually(lambda: ask(service, "GET", f"/items/{again['id']}").status == 200 and reads(service)["hit"] > 0)
        warnings = [line for line in service.stop()[1] if line["level"] == "warning"]
    assert len([line for line in warnings if "cache" in str(line["message"])]) == 1


@pytest.mark.parametrize("value", ["", "mysql://hunter2@db/app"])
def test_a_database_that_is_not_named_is_refused_at_the_start(
    folder: Path, command: tuple[str, ...], value: str
) -> None:
    result = run(*command, cwd=folder, env={"DATABASE_URL": value}, check=False)
    assert result.returncode == 2
    assert "  DATABASE_URL: " in result.stderr
    assert "hunter2" not in result.stderr + result.stdout


def test_without_the_switch_none_of_it_is_there(languages: Path, language: Language) -> None:
    folder = languages / "services" / language.service
    assert not (folder / "migrations").exists()
    # npm repeats in a service's lock file what the library asks for.
    files = [path for path in folder.rglob("*") if path.is_file() and not re.search("__|package-lock", path.name)]
    # What is built is known by the names of its files.
    built = {path for path in files if "target" in path.relative_to(folder).parts}
    text = "".join(path.name if path in built else path.read_text() for path in files).lower()
    assert "postgres" not in text
    assert "redis" not in text


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ("ledger", "7 passed"),
        ("parcels", "== services/parcels"),
        ("stock", "ok  \tapp.internal/stock"),
        ("wishes", "== services/wishes\n.......\n"),
    ],
)
def test_make_integration_starts_what_a_service_needs(languages: Path, service: str, said: str) -> None:
    assert said in run("make", "integration", f"svc={service}", *programs(), cwd=languages).stdout
