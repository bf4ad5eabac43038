"""Jobs whose egress is recorded: each one from its first steps on, where a spec asks for it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from generator.errors import SpecError
from generator.spec import load_spec
from tests.platform import Platform, render_spec, spec_of
from tests.tools import run, tool

RECORDER = "step-security/harden-runner@"


def spec(folder: Path, **runners: Any) -> Path:
    data = yaml.safe_load(spec_of("minimal").read_text())
    data["platform"]["runners"] = runners
    path = folder / "services.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_every_job_that_checks_out_records_before_it_does(tmp_path: Path) -> None:
    platform = render_spec(spec(tmp_path, recordEgress=True), tmp_path / "out")
    for repository in platform.repositories:
        run(tool("actionlint"), cwd=repository)
        run(tool("zizmor"), "--offline", "--persona=pedantic", repository)
        for file in (repository / ".github/workflows").glob("*.yml"):
            for name, job in yaml.safe_load(file.read_text())["jobs"].items():
                used = [step.get("uses", "") for step in job.get("steps", [])]
                checkouts = [i for i, uses in enumerate(used) if uses.startswith("actions/checkout@")]
                recorders = [i for i, uses in enumerate(used) if uses.startswith(RECORDER)]
                if checkouts:
                    assert len(recorders) == 1, f"{file.name}: {name}"
                    assert recorders[0] < checkouts[0], f"{file.name}: {name}"
                    assert job["steps"][recorders[0]]["with"] == {"egress-policy": "audit"}


def test_nothing_is_recorded_unasked(platform: Platform) -> None:
    for repository in platform.repositories:
        assert not [f for f in (repository / ".github/workflows").glob("*.yml") if RECORDER in f.read_text()]


def test_runners_of_one_s_own_cannot_record(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="harden-runner records on GitHub's machines alone"):
        load_spec(spec(tmp_path, kind="self-hosted", recordEgress=True))
