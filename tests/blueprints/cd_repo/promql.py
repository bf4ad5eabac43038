"""What queries ask for: they are parsed as Prometheus parses them, and their metrics are held against those known."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from tests.blueprints.cd_repo.support import Object

# What Grafana puts in place of its variables; any name will do for those of a dashboard.
INTERVALS = re.compile(r"\$__(rate_)?interval\b|\$__range\b")
VARIABLE = re.compile(r"\$\{?[a-z]\w*\}?")


@cache
def known() -> frozenset[str]:
    """Return the metrics that somebody exposes."""
    listed = yaml.safe_load((Path(__file__).parent / "metrics.yaml").read_text())
    return frozenset(name for names in listed.values() for name in names)


def of_skeletons() -> list[str]:
    """Return the metrics that every service exposes."""
    listed: list[str] = yaml.safe_load((Path(__file__).parent / "metrics.yaml").read_text())["skeleton"]
    return listed


def metrics(query: str) -> set[str]:
    """Return the metrics that a query asks for; one that does not parse is an error."""
    plain = VARIABLE.sub("x", INTERVALS.sub("5m", query))
    return set(_names(promql_parser.parse(plain)))


def _names(node: Any) -> Iterator[str]:
    if isinstance(node, promql_parser.VectorSelector):
        assert node.name, "a query names its metric"
        yield node.name
    for part in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if (child := getattr(node, part, None)) is not None:
            yield from _names(child)
    for argument in getattr(node, "args", None) or []:
        yield from _names(argument)


def recorded(items: list[Object]) -> set[str]:
    """Return the metrics that the recording rules of these objects make."""
    return {rule["record"] for rule in rules(items) if "record" in rule}


def rules(items: list[Object]) -> Iterator[Object]:
    """Yield the rules of these objects."""
    for item in items:
        if item["kind"] == "PrometheusRule":
            for group in item["spec"]["groups"]:
                yield from group["rules"]
