"""What a new version is asked while it takes over, answered by Prometheus' own engine, and who is asked."""

import operator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.blueprints.cd_repo.support import Object, with_values
from tests.tools import run, system_tool

NEW, OLD = 'pod="catalog-6b7c8d-x2x4z"', 'pod="catalog-5a4b3c-q7q9w"'
OF = 'namespace="acme-prod", job="catalog"'
COMPARISONS = {"<=": operator.le, ">=": operator.ge}


def requests(pod: str, good: int, bad: int) -> dict[str, str]:
    """Return the series of a pod that is asked so often in each half minute, with so many failures."""
    name = "http_server_request_duration_seconds_count"
    return {
        f'{name}{{{OF}, {pod}, http_response_status_code="200"}}': f"0+{good}x20",
        f'{name}{{{OF}, {pod}, http_response_status_code="503"}}': f"0+{bad}x20",
        f"up{{{OF}, {pod}}}": "1x20",
    }


def durations(pod: str, fast: int, slow: int) -> dict[str, str]:
    """Return the series of a pod that answers so many requests within 100 ms, and so many in half a second and more."""
    name = "http_server_request_duration_seconds_bucket"
    buckets = {"0.1": fast, "0.5": fast, "1": fast + slow, "+Inf": fast + slow}
    return {f'{name}{{{OF}, {pod}, le="{bound}"}}': f"0+{count}x20" for bound, count in buckets.items()}


CASES: dict[str, tuple[dict[str, str], set[str]]] = {
    "both do well": (
        requests(NEW, 50, 0) | durations(NEW, 50, 0) | requests(OLD, 200, 1) | durations(OLD, 200, 1),
        set(),
    ),
    "the new version fails": (requests(NEW, 45, 5) | requests(OLD, 200, 0), {"errors"}),
    "both fail, since something that they call is down": (requests(NEW, 25, 25) | requests(OLD, 100, 100), set()),
    "the new version fails more than the old one": (requests(NEW, 25, 25) | requests(OLD, 180, 20), {"errors"}),
    "every request to the new version fails": (requests(NEW, 0, 50) | requests(OLD, 200, 0), {"errors"}),
    "the new version is slow": (
        requests(NEW, 50, 0) | durations(NEW, 25, 25) | requests(OLD, 200, 0) | durations(OLD, 200, 0),
        {"latency"},
    ),
    "both are slow": (
        requests(NEW, 50, 0) | durations(NEW, 25, 25) | requests(OLD, 200, 0) | durations(OLD, 100, 100),
        set(),
    ),
    "nobody asks the old version": (requests(NEW, 45, 5) | durations(NEW, 25, 25), {"errors", "latency"}),
    "nobody asks the new version": (requests(NEW, 0, 0) | durations(NEW, 0, 0) | requests(OLD, 200, 0), set()),
    "too few ask the new version to tell": (requests(NEW, 1, 1) | durations(NEW, 0, 2) | requests(OLD, 200, 0), set()),
    "Prometheus does not see the new version": (requests(OLD, 200, 0), {"seen"}),
    "another service fails": (
        requests(NEW, 50, 0)
        | requests(OLD, 200, 0)
        | {key.replace('job="catalog"', 'job="orders"'): of for key, of in requests(NEW, 0, 50).items()},
        set(),
    ),
}


def metrics_of(template: Object) -> dict[str, Object]:
    return {metric["name"]: metric for metric in template["spec"]["metrics"]}


def query_of(metric: Object) -> str:
    """Return the query of a metric as Argo Rollouts fills it in for the two versions of the cases."""
    query: str = metric["provider"]["prometheus"]["query"]
    return query.replace("{{args.new}}", "6b7c8d").replace("{{args.old}}", "5a4b3c")


def answers(template: Object, folder: Path) -> dict[tuple[str, str], float]:
    """Return what Prometheus answers to each metric in each case, after eight minutes."""
    promtool = system_tool("promtool", package="prometheus")
    metrics = metrics_of(template)
    tests: list[dict[str, Any]] = []
    for series, _ in CASES.values():
        asked = [{"expr": query_of(metric), "eval_time": "8m"} for metric in metrics.values()]
        inputs = [{"series": name, "values": values} for name, values in series.items()]
        tests.append({"interval": "30s", "input_series": inputs, "promql_expr_test": asked})
    file = folder / "cases.yaml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "30s", "rule_files": [], "tests": tests}))
    # Nothing is expected, so all that it finds is told: one line of samples for each question.
    told = run(promtool, "test", "rules", file, check=False)
    lines = [line.split() for line in (told.stdout + told.stderr).splitlines() if line.strip().startswith("got:")]
    found = [float(value) for _, *words in lines for value in words[-1:]]
    questions = [(case, name) for case in CASES for name in metrics]
    assert len(found) == len(questions), told.stdout + told.stderr
    return dict(zip(questions, found, strict=True))


def passes(metric: Object, value: float) -> bool:
    """Return what the metric's condition says of one answer."""
    what, comparison, limit = metric["successCondition"].split()
    assert what == "result[0]"
    result: bool = COMPARISONS[comparison](value, float(limit))
    return result


@pytest.mark.parametrize("rollout", ["canary", "blueGreen"])
def test_a_version_that_does_worse_than_the_old_one_is_given_up(
    rollout: str, released_example: Path, tmp_path: Path
) -> None:
    template = with_values(released_example, "catalog", "prod", rollout=rollout)["AnalysisTemplate/catalog"]
    metrics = metrics_of(template)
    failed: dict[str, set[str]] = {case: set() for case in CASES}
    for (case, name), value in answers(template, tmp_path).items():
        if not passes(metrics[name], value):
            failed[case].add(name)
    assert failed == {case: expected for case, (_, expected) in CASES.items()}


def test_the_measure_is_what_the_service_is_held_to(released_example: Path) -> None:
    objectives = {"errorPercent": 1, "latencyMilliseconds": 300}
    made = with_values(released_example, "catalog", "prod", rollout="canary", objectives=objectives)
    conditions = {name: one["successCondition"] for name, one in metrics_of(made["AnalysisTemplate/catalog"]).items()}
    assert conditions == {"seen": "result[0] >= 1", "errors": "result[0] <= 0.5", "latency": "result[0] <= 0.15"}


@pytest.mark.parametrize("rollout", ["canary", "blueGreen"])
def test_without_prometheus_nobody_is_asked_how_a_version_does(rollout: str, released_example: Path) -> None:
    everything = with_values(
        released_example, "catalog", "prod", rollout=rollout, **{"global": {"monitoring": {"enabled": False}}}
    )
    assert "AnalysisTemplate/catalog" not in everything
    (strategy,) = everything["Rollout/catalog"]["spec"]["strategy"].values()
    assert not {"analysis", "postPromotionAnalysis"} & set(strategy)


def test_an_analysis_ends_unless_steps_end_it(released_example: Path) -> None:
    """Argo Rollouts waits for that of a blue-green service, so it counts; that of a canary goes on until the end."""
    for rollout, counted in (("canary", False), ("blueGreen", True)):
        made = with_values(released_example, "catalog", "prod", rollout=rollout)
        assert all(("count" in one) == counted for one in metrics_of(made["AnalysisTemplate/catalog"]).values())


def test_analyses_are_there_and_get_the_versions_that_they_ask_for(released_example: Path) -> None:
    for rollout in ("canary", "blueGreen"):
        made = with_values(released_example, "catalog", "prod", rollout=rollout)
        (strategy,) = made["Rollout/catalog"]["spec"]["strategy"].values()
        analyses = [value for key, value in strategy.items() if key.lower().endswith("analysis")]
        assert analyses
        for analysis in analyses:
            given = {argument["name"] for argument in analysis.get("args", [])}
            for reference in analysis["templates"]:
                template = made[f"AnalysisTemplate/{reference['templateName']}"]
                assert {argument["name"] for argument in template["spec"].get("args", [])} == given


def test_a_waiting_version_may_be_asked_by_argo_rollouts(released_example: Path) -> None:
    made = with_values(released_example, "catalog", "prod", rollout="blueGreen")
    port = made["Service/catalog-preview"]["spec"]["ports"][0]["port"]
    urls = {one["provider"]["web"]["url"] for one in metrics_of(made["AnalysisTemplate/catalog-preview"]).values()}
    assert urls == {f"http://catalog-preview.acme-prod:{port}/{path}" for path in ("readyz", "metrics")}
    let_in = [
        source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in made["NetworkPolicy/catalog"]["spec"]["ingress"]
        for source in rule["from"]
        if "namespaceSelector" in source
    ]
    assert "argo-rollouts" in let_in
