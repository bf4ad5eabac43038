"""Dashboards: where they are, that their queries parse, and that somebody exposes what they ask for. Alerts alike."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import platform as platforms
from tests.blueprints.cd_repo import promql
from tests.blueprints.cd_repo.addons import addons_of, load, own_objects
from tests.blueprints.cd_repo.support import Object, environments_of, rendered
from tests.platform import Platform


def dashboards(repository: Path) -> dict[str, Any]:
    """Return the dashboards that Grafana gets, by the name of their ConfigMap."""
    found = {}
    for addon in addons_of(repository):
        for item in own_objects(repository, addon):
            if "grafana_dashboard" in item["metadata"].get("labels", {}):
                (text,) = item["data"].values()
                found[item["metadata"]["name"]] = json.loads(text)
    return found


def panels(dashboard: Any) -> Iterator[Any]:
    """Yield the panels of a dashboard that show something, also those in closed rows."""
    for panel in dashboard["panels"]:
        yield from (p for p in (panel, *panel.get("panels", [])) if p["type"] not in {"row", "text"})


def queries(dashboard: Any) -> Iterator[str]:
    """Yield what a dashboard asks Prometheus for: in panels, annotations, and variables."""
    for panel in panels(dashboard):
        yield from (target["expr"] for target in panel["targets"] if is_prometheus(target))
    yield from (a["expr"] for a in dashboard["annotations"]["list"] if is_prometheus(a))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query" and is_prometheus(variable):
            yield variable["query"]["query"].removeprefix("label_values(").rpartition(",")[0]


def is_prometheus(asked: Any) -> bool:
    return bool(asked.get("datasource", {}).get("type") == "prometheus")


def ruled(repository: Path) -> list[Object]:
    """Return the objects with rules: of every service in every environment, and of every add-on."""
    items = [item for addon in addons_of(repository) for item in own_objects(repository, addon)]
    for environment in environments_of(repository):
        items += rendered(repository, environment["name"])
    return items


def test_every_query_parses_and_asks_for_what_is_there(released_example: Path) -> None:
    there = promql.known() | promql.recorded(ruled(released_example))
    for name, dashboard in dashboards(released_example).items():
        for query in queries(dashboard):
            assert promql.metrics(query) <= there, f"{name}: nobody exposes {promql.metrics(query) - there}: {query}"


def test_every_rule_asks_for_what_is_there(released_example: Path) -> None:
    items = ruled(released_example)
    there = promql.known() | promql.recorded(items)
    for rule in promql.rules(items):
        asked = promql.metrics(rule["expr"])
        assert asked <= there, f"{rule.get('alert') or rule['record']}: nobody exposes {asked - there}"


def test_what_nobody_asks_for_is_not_listed(released_example: Path) -> None:
    asked = {
        metric
        for board in dashboards(released_example).values()
        for q in queries(board)
        for metric in promql.metrics(q)
    }
    asked |= {metric for rule in promql.rules(ruled(released_example)) for metric in promql.metrics(rule["expr"])}
    # Jobs are in no service of the example.
    assert promql.known() - set().union(*map(promql.metrics, asked)) <= {"kube_job_failed"}


@pytest.mark.parametrize("query", ["rate(up[5m)", "sum(rate(no_such_metric_total[$__rate_interval]))"])
def test_a_query_that_is_wrong_is_found(query: str) -> None:
    try:
        asked = promql.metrics(query)
    except ValueError:
        return
    assert not asked <= promql.known()


def test_dashboards_can_be_told_apart_and_are_whole(example: Platform) -> None:
    boards = list(dashboards(example.cd).values())
    assert len({board["uid"] for board in boards}) == len(boards)
    assert len({board["title"] for board in boards}) == len(boards)
    for board in boards:
        assert list(panels(board)), board["title"]
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in panels(board):
            assert panel["title"]
            assert panel["targets"]
            assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24


def test_dashboards_lie_where_grafana_looks(example: Platform) -> None:
    grafana = addons_of(example.cd)["grafana"]["namespace"]
    config = load(example.cd / "platform/grafana/values.yaml")["grafana"]["sidecar"]
    for addon in addons_of(example.cd):
        for item in own_objects(example.cd, addon):
            for kind in ("dashboard", "datasource"):
                labels = item["metadata"].get("labels", {})
                if (label := f"grafana_{kind}") in labels:
                    assert item["metadata"]["namespace"] == grafana
                    assert config[f"{kind}s"]["label"] == label
                    assert config[f"{kind}s"]["labelValue"] == labels[label]


@pytest.mark.parametrize("grafana", ["false", "https://grafana.acme.example"])
def test_without_grafana_no_add_on_has_dashboards(grafana: str, tmp_path: Path) -> None:
    spec = platforms.with_features("minimal", f"observability: {{grafana: {grafana}}}", tmp_path)
    made = platforms.render_spec(spec, tmp_path / "out")
    assert dashboards(made.cd) == {}
    assert not list(made.cd.rglob("dashboards*"))


def test_a_dashboard_of_what_is_off_is_not_there(example: Platform, tmp_path: Path) -> None:
    assert "dashboard-argo-rollouts-rollouts" in dashboards(example.cd)
    spec = platforms.with_features("minimal", "rollouts: false", tmp_path)
    made = platforms.render_spec(spec, tmp_path / "out")
    assert not [name for name in dashboards(made.cd) if "rollouts" in name]
