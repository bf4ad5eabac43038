"""The platform of compose.yaml, end to end and with parts of it gone, in processes on loopback."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.blueprints.app_repo.composed import Composed, language_of, running
from tests.blueprints.app_repo.process import free_port
from tests.blueprints.app_repo.stores import Server
from tests.platform import Platform
from tests.tools import exhaustive_tool, run


@pytest.fixture(scope="module")
def shop(workshop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    with running(workshop, tmp_path_factory.mktemp("composed")) as composed:
        yield composed


@pytest.mark.slow
def test_the_whole_platform_works(workshop: Path, shop: Composed) -> None:
    said = run("scripts/e2e", "--compose", shop.compose, cwd=workshop).stdout
    assert "FAULT" not in said
    assert "ok    orders reaches catalog" in said
    assert "ok    orders has it no longer" in said
    assert re.search("ok    Jaeger shows the trace [0-9a-f]{32} through catalog, orders\n", said)


@pytest.mark.slow
def test_what_is_away_is_named(workshop: Path, shop: Composed) -> None:
    shop.servers["catalog"].stop()
    try:
        result = run("scripts/e2e", "--compose", shop.compose, "--patience=1", cwd=workshop, check=False)
    finally:
        shop.servers["catalog"].start()
    assert result.returncode == 1
    assert re.search("not ready within 1 s: catalog \\(no answer", result.stderr)


@pytest.mark.exhaustive
def test_services_bear_it_when_what_they_need_is_gone(workshop: Path, shop: Composed) -> None:
    said = run("scripts/chaos", "--compose", shop.compose, cwd=workshop).stdout
    assert "FAULT" not in said
    assert "ok    orders answers 503 to /items without orders-postgres-rw, and when to try again" in said
    assert "ok    orders says that catalog is away" in said
    away = ("orders-redis", "orders-postgres-rw", "catalog")
    assert shop.calls[-6:] == [f"{command} {name}" for name in away for command in ("stop", "start")]


@pytest.mark.exhaustive
def test_a_service_that_ends_with_its_database_is_found(
    workshop: Path, shop: Composed, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, orders = shop.servers["orders-postgres-rw"], shop.servers["orders"]

    def both(command: str) -> Callable[[], None]:
        parts = [getattr(server, command) for server in (database, orders)]

        def act() -> None:
            for part in parts:
                part()

        return act

    for command in ("stop", "start"):
        monkeypatch.setattr(database, command, both(command))
    result = run("scripts/chaos", "--compose", shop.compose, "--patience=5", "orders", cwd=workshop, check=False)
    assert result.returncode == 1
    assert "FAULT orders is alive without orders-postgres-rw: no answer" in result.stdout
    assert "ok    orders reaches catalog when it is back" in result.stdout


@pytest.mark.exhaustive
def test_a_chain_through_four_languages_is_one_trace_and_bears_what_goes_away(languages: Path, tmp_path: Path) -> None:
    entry = free_port()
    with running(languages, tmp_path, collector=entry) as composed:
        config = yaml.safe_load((languages / "compose/collector.yaml").read_text())
        (jaeger,) = json.loads(run(composed.compose, "config").stdout)["services"]["jaeger.compose"]["ports"]
        config["receivers"]["otlp"]["protocols"]["http"]["endpoint"] = f"127.0.0.1:{entry}"
        config["extensions"]["health_check"]["endpoint"] = f"127.0.0.1:{free_port()}"
        config["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]["port"] = free_port()
        config["exporters"] = {"otlp_http": {"endpoint": f"http://127.0.0.1:{jaeger['published']}"}}
        config["service"]["pipelines"]["traces"]["exporters"] = ["otlp_http"]
        file = tmp_path / "collector.yaml"
        file.write_text(yaml.safe_dump(config))
        program = str(exhaustive_tool("bin/otelcol"))
        collector = Server([program, "--config", str(file)], entry, f"http://127.0.0.1:{entry}")
        collector.start()
        try:
            said = run("scripts/e2e", "--compose", composed.compose, cwd=languages).stdout
        finally:
            collector.stop()
        # Nobody takes the spans any more, which changes nothing.
        borne = run("scripts/chaos", "--compose", composed.compose, cwd=languages).stdout
    names = sorted(path.name for path in (languages / "services").iterdir() if language_of(languages, path.name))
    assert "FAULT" not in said
    assert f"through {', '.join(names)}" in said
    assert "FAULT" not in borne
    stores = {call.split()[1] for call in composed.calls if call.endswith(("-redis", "-postgres-rw"))}
    assert stores == {name for name in composed.servers if name.endswith(("-redis", "-postgres-rw"))}


def test_a_program_that_is_no_compose_is_named(example: Platform) -> None:
    for command, complaint in (("no-such-compose", "No such file"), ("false", "false config --format json failed")):
        result = run("scripts/e2e", "--compose", command, cwd=example.app, check=False)
        assert result.returncode == 1
        assert complaint in result.stderr
        assert "Traceback" not in result.stderr
    result = run("scripts/e2e", f"--compose={shutil.which('echo')}", cwd=example.app, check=False)
    assert "does not print its configuration as JSON" in result.stderr
