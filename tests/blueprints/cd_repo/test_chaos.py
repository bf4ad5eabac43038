"""Experiments: who has them, where, and what ends them."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests import platform as platforms
from tests.blueprints.cd_repo.addons import HUB, addons_of, applications_of, load
from tests.blueprints.cd_repo.support import Object, with_values
from tests.platform import Platform
from tests.tools import run, system_tool

OF = 'namespace="acme-dev", job="catalog"'
CALLS: dict[str, Any] = {"chaos": True, "dependsOn": [{"name": "orders", "port": 9000}]}


def experiments(repository: Path, **values: Any) -> dict[str, Object]:
    """Return the Schedules of `catalog` in dev, by name."""
    made = with_values(repository, "catalog", "dev", **(CALLS | values))
    return {item["metadata"]["name"]: item for item in made.values() if item["kind"] == "Schedule"}


def templates_of(schedule: Object) -> dict[str, Object]:
    return {template["name"]: template for template in schedule["spec"]["workflow"]["templates"]}


def requests(good: int, bad: int, slow: int = 0) -> dict[str, str]:
    """Return the series of a service that answers so many requests in each half minute."""
    count, bucket = (f"http_server_request_duration_seconds_{what}" for what in ("count", "bucket"))
    every = good + bad
    return {
        f'{count}{{{OF}, http_response_status_code="200"}}': f"0+{good}x20",
        f'{count}{{{OF}, http_response_status_code="503"}}': f"0+{bad}x20",
        f'{bucket}{{{OF}, le="0.25"}}': f"0+{every - slow}x20",
        f'{bucket}{{{OF}, le="5"}}': f"0+{every}x20",
        f'{bucket}{{{OF}, le="+Inf"}}': f"0+{every}x20",
        f'up{{{OF}, pod="catalog-1"}}': "1x20",
        f'up{{{OF}, pod="catalog-2"}}': "0x20",
    }


@pytest.mark.parametrize(
    ("series", "steady"),
    [
        (requests(100, 1), True),
        (requests(100, 10), False),
        (requests(0, 100), False),
        (requests(100, 0, slow=20), False),
        (requests(0, 0), True),
        (requests(100, 10, slow=20), False),
        ({**requests(100, 0), f'up{{{OF}, pod="catalog-1"}}': "0x20"}, False),
        ({}, False),
    ],
    ids=["well", "failing", "only failing", "slow", "not called", "failing and slow", "down", "gone"],
)
def test_prometheus_cannot_answer_when_a_service_is_not_as_it_should_be(
    series: dict[str, str], steady: bool, released_example: Path, tmp_path: Path
) -> None:
    """Chaos Mesh looks at the status of the answer alone: 422 is one to a question that cannot be answered."""
    check = templates_of(experiments(released_example)["catalog-kill"])["stays-so"]["statusCheck"]
    assert check["http"]["criteria"] == {"statusCode": "200"}
    (query,) = parse_qs(urlsplit(check["http"]["url"]).query)["query"]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    asked = {"expr": query, "eval_time": "8m", "exp_samples": []}
    case = {"interval": "30s", "input_series": inputs, "promql_expr_test": [asked]}
    file = tmp_path / "case.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "30s", "rule_files": [], "tests": [case]}))
    result = run(system_tool("promtool", package="prometheus"), "test", "rules", file, check=False)
    told = result.stdout + result.stderr
    assert (result.returncode == 0) == steady, told
    assert ("found duplicate series" in told) != steady, told


def test_each_experiment_begins_and_ends_with_a_look_at_the_service(released_example: Path) -> None:
    made = experiments(released_example)
    assert set(made) == {f"catalog-{name}" for name in ("kill", "delay", "loss", "cpu", "without-orders")}
    for name, schedule in made.items():
        templates = templates_of(schedule)
        before, during = templates["as-it-should-be"], templates["stays-so"]
        assert before["abortWithStatusCheck"] is during["abortWithStatusCheck"] is True
        assert (before["statusCheck"]["mode"], during["statusCheck"]["mode"]) == ("Synchronous", "Continuous")
        experiment = name.removeprefix("catalog-")
        assert templates["under-chaos"]["children"] == ["stays-so", experiment]
        entry = templates[schedule["spec"]["workflow"]["entry"]]
        assert entry["children"] == ["as-it-should-be", "under-chaos"]
        # Chaos Mesh wants the length of an experiment as a deadline, and whatever happens, it has an end.
        assert all("deadline" in template for template in templates.values())


def test_experiments_stay_with_the_service(released_example: Path) -> None:
    for schedule in experiments(released_example).values():
        *_, experiment = schedule["spec"]["workflow"]["templates"]
        (chaos,) = (value for key, value in experiment.items() if key.endswith("Chaos"))
        assert chaos["selector"]["namespaces"] == ["acme-dev"]
        assert chaos["selector"]["labelSelectors"]["app.kubernetes.io/name"] == "catalog"
        if "target" in chaos:
            assert chaos["target"]["selector"]["namespaces"] == ["acme-dev"]
            assert chaos["target"]["selector"]["labelSelectors"]["app.kubernetes.io/name"] == "orders"


def test_no_two_experiments_of_a_service_meet(released_example: Path) -> None:
    called = [{"name": f"service-{index}", "port": 80} for index in range(4)]
    times = [one["spec"]["schedule"] for one in experiments(released_example, dependsOn=called).values()]
    assert len(set(times)) == len(times) == 8


def test_names_of_experiments_fit_into_labels(released_example: Path) -> None:
    called = [{"name": f"a-service-whose-name-is-as-long-as-it-may-{end}", "port": 80} for end in ("be", "get")]
    made = experiments(released_example, dependsOn=called)
    assert len(made) == 6
    assert all(len(name) <= 57 for name in made)


def test_who_does_not_agree_has_none(released_example: Path) -> None:
    assert experiments(released_example, chaos=False) == {}


def test_the_last_environment_has_no_experiments(released_example: Path) -> None:
    made = with_values(released_example, "catalog", "prod", **CALLS)
    assert not [name for name in made if name.startswith("Schedule/")]
    for environment, asked in (("dev", True), ("prod", False)):
        namespace = (released_example / f"environments/{environment}/namespace.yaml").read_text()
        assert ("chaos-mesh.org/inject: enabled" in namespace) == asked


def test_chaos_mesh_is_where_there_are_experiments(example: Platform, minimal: Platform) -> None:
    there = {**HUB, "name": "eu", "normalized": "eu", "label": "prod", "hub": "false"}
    assert "chaos-mesh" in applications_of(example.cd)
    assert "chaos-mesh" not in applications_of(example.cd, **there)
    # It touches only what asks for it.
    values = load(example.cd / "platform/chaos-mesh/values.yaml")["chaos-mesh"]
    assert values["controllerManager"]["enableFilterNamespace"] is True
    # Nobody agrees there.
    assert "chaos-mesh" not in addons_of(minimal.cd)


@pytest.mark.parametrize(
    "change",
    [
        {"features": {"chaos": False}},
        {"features": {"observability": {"metrics": False}}},
        {"features": {"certManager": {"enabled": False}}},
        {"environments": [{"name": "prod"}]},
        {"environments": [{"name": "dev", "cluster": "one"}, {"name": "prod", "cluster": "one"}]},
    ],
    ids=["switched off", "no Prometheus", "no certificates", "one environment", "one cluster"],
)
def test_there_are_no_experiments_without_what_they_need(change: dict[str, Any], tmp_path: Path) -> None:
    spec = {
        "apiVersion": "triptych/v1",
        "platform": {"name": "acme", "github": {"organization": "acme"}},
        "services": [{"name": "orders", "language": "go", "chaos": True}],
        **change,
    }
    file = tmp_path / "services.yaml"
    file.write_text(yaml.safe_dump(spec))
    made = platforms.render_spec(file, tmp_path / "out")
    assert "chaos-mesh" not in addons_of(made.cd)
    for values in made.cd.glob("environments/*/values.yaml"):
        assert load(values)["global"]["chaos"]["prometheus"] == ""
