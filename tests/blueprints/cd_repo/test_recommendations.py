"""scripts/recommendations: what the Vertical Pod Autoscaler has seen becomes a change of services.yaml."""

import json
from pathlib import Path

import pytest
import yaml

from generator.projection import repositories
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo.support import PATH, script

# As `kubectl get vpa --all-namespaces --output json` prints it.
SEEN = Path(__file__).parent / "vpa.json"


def test_recommendations_become_lines_of_the_spec_with_their_reason(released_example: Path) -> None:
    result = script(released_example, "recommendations", "--environment=prod", f"--file={SEEN}")
    assert result.stdout.splitlines() == [
        "services:",
        "  - name: catalog",
        "    environments:",
        "      prod:",
        "        # cpu: 20m recommended, between 10m and 30m; 100m of at most 500m now; a step on the way there",
        "        resources:",
        # Never less than half at once; memory differs by less than a tenth.
        "          requests: {cpu: 50m}",
        "          limits: {cpu: 250m}",
        "  - name: orders",
        "    environments:",
        "      prod:",
        "        # memory: 208Mi recommended, between 176Mi and 256Mi; 128Mi of at most 256Mi now",
        "        resources:",
        "          requests: {memory: 208Mi}",
        "          limits: {memory: 400Mi}",
    ]


def test_the_lines_are_good_in_the_spec(released_example: Path, tmp_path: Path) -> None:
    lines = yaml.safe_load(script(released_example, "recommendations", "--environment=prod", f"--file={SEEN}").stdout)
    spec = yaml.safe_load(platforms.spec_of("example").read_text())
    for proposed in lines["services"]:
        (service,) = (one for one in spec["services"] if one["name"] == proposed["name"])
        below = service.setdefault("environments", {}).setdefault("prod", {})
        below["resources"] = proposed["environments"]["prod"]["resources"]
    file = tmp_path / "services.yaml"
    file.write_text(yaml.safe_dump(spec))
    (cd,) = (one for one in repositories(load_spec(file)) if one.blueprint == "cd-repo")
    (orders,) = (one for one in cd.answers["services"] if one["name"] == "orders")
    (prod,) = (one for one in orders["environments"] if one["name"] == "prod")
    assert prod["values"]["resources"] == {"requests": {"memory": "208Mi"}, "limits": {"memory": "400Mi"}}


def test_what_grows_fast_goes_in_steps(released_example: Path) -> None:
    result = script(released_example, "recommendations", "--environment=dev", f"--file={SEEN}", "--json")
    (proposal,) = json.loads(result.stdout)
    assert (proposal["request"], proposal["limit"], proposal["step"]) == ("512Mi", "1024Mi", True)


def test_what_is_young_or_all_right_is_left_alone(released_example: Path) -> None:
    young = script(released_example, "recommendations", "--environment=prod", f"--file={SEEN}", "--days=99999")
    assert young.stdout == ""
    assert "orders: seen for less than 99999 days" in young.stderr
    fine = script(released_example, "recommendations", "--environment=prod", f"--file={SEEN}", "--percent=80")
    assert fine.stdout == ""
    assert fine.stderr == "nothing to change in prod\n"


def test_kubectl_is_asked_where_there_is_no_file(released_example: Path, tmp_path: Path) -> None:
    fake = tmp_path / "kubectl"
    fake.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" > {tmp_path}/asked\ncat {SEEN}\n')
    fake.chmod(0o755)
    command = ("--environment=prod", "--context=prod", "--json")
    path = {"PATH": f"{tmp_path}:{PATH['PATH']}"}
    result = script(released_example, "recommendations", *command, env=path)
    assert {one["service"] for one in json.loads(result.stdout)} == {"catalog", "orders"}
    asked = (tmp_path / "asked").read_text().split()
    assert asked == [
        "--context=prod",
        "--namespace=acme-prod",
        "get",
        "verticalpodautoscalers.autoscaling.k8s.io",
        "--output=json",
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"items": 1}'])
def test_bad_input_is_told(text: str, released_example: Path, tmp_path: Path) -> None:
    file = tmp_path / "vpa.json"
    file.write_text(text)
    result = script(released_example, "recommendations", "--environment=prod", f"--file={file}", check=False)
    assert result.returncode == 2
    assert "no list of objects as JSON" in result.stderr
