"""Services that are scaled by more than their use of CPU: what KEDA is told, and which clusters have it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.addons import wanted
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo.addons import applications_of, load
from tests.blueprints.cd_repo.schemas import KUBERNETES, VALIDATOR, custom_problems, write
from tests.blueprints.cd_repo.support import by_kind, release_everything, rendered
from tests.platform import Platform
from tests.tools import BIN, run

QUEUE = {"prometheus": {"query": 'sum(queue_length{namespace="$namespace", topic="a\\b"})', "threshold": 100}}
OFFICE = {"cron": {"start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timezone": "Europe/Berlin", "pods": 4}}
SPEC: dict[str, Any] = {
    "apiVersion": "triptych/v1",
    "platform": {"name": "acme", "github": {"organization": "acme"}},
    "services": [
        {
            "name": "orders",
            "language": "python",
            "rollout": "canary",
            "autoscaling": {"triggers": [QUEUE]},
            "environments": {
                "dev": {"autoscaling": {"triggers": []}},
                "prod": {"autoscaling": {"triggers": [QUEUE, OFFICE]}},
            },
        },
        {"name": "catalog", "language": "go"},
    ],
}


def spec_with(folder: Path, **parts: Any) -> Path:
    file = folder / "services.yaml"
    file.write_text(yaml.safe_dump(SPEC | parts))
    return file


@pytest.fixture(scope="module")
def cd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keda")
    return release_everything(platforms.render_spec(spec_with(folder), folder / "platform").cd, folder)


def test_one_autoscaler_is_there_by_keda_or_by_the_chart(cd: Path, tmp_path: Path) -> None:
    for environment, kind in (("dev", "HorizontalPodAutoscaler"), ("prod", "ScaledObject")):
        made = by_kind(rendered(cd, environment))
        assert {name for name in made if name.startswith(("HorizontalPod", "ScaledObject"))} == {
            f"{kind}/orders",
            "HorizontalPodAutoscaler/catalog",
        }
        assert "replicas" not in made["Rollout/orders"]["spec"]
        scaled = [item for item in made.values() if item["kind"] == "ScaledObject"]
        assert custom_problems(scaled) == []
        if VALIDATOR.is_file() and scaled:
            run(BIN / "python", VALIDATOR, "--kubernetes", KUBERNETES, write(scaled, tmp_path / "scaled.yaml"))


def test_triggers_are_asked_besides_the_use_of_cpu(cd: Path) -> None:
    spec = by_kind(rendered(cd, "prod"))["ScaledObject/orders"]["spec"]
    cpu, queue, office = spec["triggers"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], cpu["metadata"]) == (2, 10, {"value": "70"})
    assert queue["metadata"]["query"] == 'sum(queue_length{namespace="acme-prod", topic="a\\b"})'
    assert queue["metadata"]["threshold"] == "100"
    assert office["metadata"]["desiredReplicas"] == "4"


def test_keda_is_there_where_a_service_asks(cd: Path, example: Platform, tmp_path: Path) -> None:
    values = load(cd / "platform/keda/values.yaml")["keda"]
    assert applications_of(cd)["keda"]["spec"]["destination"]["namespace"] == "keda"
    assert values["permissions"]["operator"]["restrict"]["secret"]
    assert not (example.cd / "platform/keda").exists()
    elsewhere = spec_with(tmp_path, features={"scaling": {"keda": False}})
    assert "keda" not in {addon.name for addon in wanted(load_spec(elsewhere))}
    made = platforms.render_spec(elsewhere, tmp_path / "platform").cd
    assert "They have KEDA" in (made / "README.md").read_text()
    assert "They have KEDA" not in (cd / "README.md").read_text()
    # Whoever brings it scales by the same triggers.
    assert load(made / "services/orders/values-prod.yaml")["autoscaling"] == {"triggers": [QUEUE, OFFICE]}


def test_keda_exports_no_metrics_where_nothing_scrapes(tmp_path: Path) -> None:
    off = {"observability": {"metrics": False}}
    services = [SPEC["services"][1] | {"autoscaling": {"triggers": [OFFICE]}}]
    made = platforms.render_spec(spec_with(tmp_path, features=off, services=services), tmp_path / "platform").cd
    assert "prometheus" not in load(made / "platform/keda/values.yaml")["keda"]
    assert load(made / "environments/dev/values.yaml")["global"]["keda"] == {"prometheus": ""}
