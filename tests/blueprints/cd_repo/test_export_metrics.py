"""scripts/export-metrics: what Prometheus is told, from a history that is known and a GitHub that is not GitHub's."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse
from urllib.request import urlopen

import pytest
import yaml

from tests.blueprints.cd_repo import promql
from tests.blueprints.cd_repo.support import at, build, clone, release, script
from tests.platform import Platform
from tests.tools import run, system_tool

NOW = datetime.now(UTC)
Answers = dict[str, Any]


def stamp(minutes: float) -> str:
    return f"{NOW + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"


def job(name: str, conclusion: str | None, waited: float, took: float) -> Answers:
    """Return a job that was there an hour ago, waited and took so many minutes; without a conclusion it still waits."""
    begun = {"started_at": stamp(waited - 60), "completed_at": stamp(waited + took - 60)} if conclusion else {}
    status = "completed" if conclusion else "queued"
    return {"name": name, "status": status, "conclusion": conclusion, "created_at": stamp(-60), **begun}


def image(service: str, build: str, cache: str) -> Answers:
    """Return a job that builds an image; the second step takes place where the layer cache served."""
    steps = [{"name": "Build", "conclusion": build}, {"name": "Use the layer cache", "conclusion": cache}]
    return {**job(f"Release / Build / {service} / {service} / Image", build, 1, 6), "steps": steps}


def runs(*found: tuple[str, str | None, list[Answers]]) -> dict[str, Answers]:
    """Return the answers of GitHub's API to what is asked of these runs of workflows."""
    listed: list[Answers] = [
        {"id": number, "name": name, "status": "completed" if end else "in_progress", "conclusion": end}
        for number, (name, end, _) in enumerate(found)
    ]
    answers: dict[str, Answers] = {"/repos/acme/ci-repo/actions/runs": {"workflow_runs": listed}}
    for number, (_, _, jobs) in enumerate(found):
        answers[f"/repos/acme/ci-repo/actions/runs/{number}/jobs"] = {"jobs": jobs}
    return answers


@contextmanager
def github(answers: dict[str, Answers], asked: list[str]) -> Iterator[str]:
    """Answer as GitHub does, a hundred of a list at once, to whoever has the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlparse(self.path)
            asked.append(self.path)
            if self.headers["Authorization"] != "Bearer sesame" or url.path not in answers:
                self.send_error(404)
                return
            ((key, whole),) = answers[url.path].items()
            start = (int(parse_qs(url.query)["page"][0]) - 1) * 100
            body = json.dumps({"total_count": len(whole), key: whole[start : start + 100]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def samples(text: str) -> dict[str, float]:
    """Return the value of each sample; Prometheus' own tool has to find nothing wrong with the text."""
    checked = subprocess.run(
        [system_tool("promtool", package="prometheus"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def export(repository: Path, url: str, *args: str) -> subprocess.CompletedProcess[str]:
    (repository.parent / "token").write_text("sesame\n")
    token = f"--token-file={repository.parent / 'token'}"
    return script(repository, "export-metrics", "--pipeline=acme/ci-repo", f"--api={url}", token, *args, check=False)


def test_delivery_is_told_for_services_and_environments(cd: Path) -> None:
    now = datetime.now(UTC)
    hours = {number: f"{now + timedelta(hours=number):%Y-%m-%dT%H:%M:%SZ}" for number in (-30, -20)}
    release(cd, "dev", [build("orders", 1, hours[-30]), build("catalog", 1, hours[-30])], env=at(hours=-24))
    release(cd, "dev", [build("orders", 2, hours[-20])], env=at(hours=-18))
    script(cd, "rollback", "--environment=dev", "--service=orders", "--reason=slow", "--by=bob", env=at(hours=-17))
    told = samples(script(cd, "export-metrics").stdout)
    orders = '{service="orders",team="payments",environment="dev"}'
    teams = json.loads((cd / "config/teams.json").read_text())["services"]
    orders = orders.replace("payments", teams["orders"])
    assert told[f"triptych_service_deployments{orders}"] == 2
    assert told[f"triptych_service_failed_deployments{orders}"] == 1
    assert told[f"triptych_service_lead_time_seconds{orders}"] == pytest.approx(4 * 3600, abs=120)
    assert told[f"triptych_service_restore_seconds{orders}"] == pytest.approx(3600, abs=60)
    assert told['triptych_environment_deployments{environment="dev"}'] == 3
    assert told["triptych_registry_commit_timestamp_seconds"] == pytest.approx(now.timestamp() - 17 * 3600, abs=120)


ANSWERS = runs(
    (
        "App push",
        "success",
        [
            job("Release / Plan", "success", 1, 1),
            job("Release / Build / orders / Test", "success", 2, 4),
            image("orders", "success", "success"),
            job("Release / Build / catalog / Image", "skipped", 0, 0),
        ],
    ),
    ("App push", "failure", [job("Release / Build / orders / Test", "failure", 4, 8)]),
    ("orders pipeline", None, [job("Release / Build / orders / Test", None, 0, 0)]),
)


def test_the_pipeline_is_told_by_service_and_step(cd: Path) -> None:
    asked: list[str] = []
    with github(ANSWERS, asked) as url:
        result = export(cd, url)
    assert (result.returncode, result.stderr) == (0, "")
    told = {name: value for name, value in samples(result.stdout).items() if "timestamp" not in name}
    wait = told.pop("triptych_pipeline_longest_wait_seconds")
    # The answers were made when the tests were collected.
    since = (datetime.now(UTC) - NOW).total_seconds()
    assert wait == pytest.approx(3600 + since, abs=300)
    assert told == {
        'triptych_pipeline_runs{workflow="App push",conclusion="failure"}': 1,
        'triptych_pipeline_runs{workflow="App push",conclusion="success"}': 1,
        'triptych_pipeline_builds{service="orders"}': 1,
        'triptych_pipeline_cached_builds{service="orders"}': 1,
        'triptych_pipeline_jobs{service="orders",step="Image",conclusion="success"}': 1,
        'triptych_pipeline_jobs{service="orders",step="Test",conclusion="failure"}': 1,
        'triptych_pipeline_jobs{service="orders",step="Test",conclusion="success"}': 1,
        'triptych_pipeline_job_duration_seconds{service="orders",step="Image"}': 360,
        'triptych_pipeline_job_duration_seconds{service="orders",step="Test"}': 360,
        'triptych_pipeline_job_queue_seconds{service="orders",step="Image"}': 60,
        'triptych_pipeline_job_queue_seconds{service="orders",step="Test"}': 180,
        "triptych_pipeline_queued_jobs": 1,
    }
    assert "branch=main" in asked[0]
    assert "created=%3E%3D" in asked[0]


def test_the_cache_is_told_by_what_it_served(cd: Path) -> None:
    jobs = [image("orders", "success", "success"), image("orders", "success", "skipped")]
    jobs += [image("catalog", "failure", "skipped"), job("Release / Build / orders / Test", "success", 1, 1)]
    with github(runs(("App push", "failure", jobs)), []) as url:
        told = samples(export(cd, url).stdout)
    assert {name: value for name, value in told.items() if "builds" in name} == {
        'triptych_pipeline_builds{service="orders"}': 2,
        'triptych_pipeline_cached_builds{service="orders"}': 1,
    }


def test_lists_are_read_to_their_end(cd: Path) -> None:
    many = [job(f"Release / Build / s{number} / Test", "success", 1, 1) for number in range(250)]
    with github(runs(("App push", "success", many)), []) as url:
        told = samples(export(cd, url).stdout)
    assert len([name for name in told if name.startswith("triptych_pipeline_jobs{")]) == 250


def test_the_names_of_jobs_are_those_of_the_workflows(example: Platform) -> None:
    folder = example.ci / ".github/workflows"
    files = [yaml.safe_load((folder / name).read_text()) for name in ("shared-pipeline.yml", "image.yml")]
    names = {job["name"] for file in files for job in file["jobs"].values()}
    # The one that calls image.yml comes before the name of its job.
    assert "Image" in names
    names.remove("${{ inputs.service }}")
    done = {step.get("name") for file in files for job in file["jobs"].values() for step in job.get("steps", [])}
    assert {"Build", "Use the layer cache"} <= done
    steps = re.search(r"STEPS = \((.*)\)", (example.cd / "scripts/lib/runs.py").read_text())
    assert steps
    assert names <= set(re.findall(r'"(\w+)"', steps[1]))
    assert yaml.safe_load((folder / "batch.yml").read_text())["jobs"]["service"]["name"] == "${{ matrix.service }}"


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ({}, "answers 404 about actions/runs of acme/ci-repo"),
        ({"/repos/acme/ci-repo/actions/runs": {"jobs": []}}, "what is no list of runs"),
    ],
)
def test_what_github_refuses_is_a_sentence(cd: Path, answers: dict[str, Answers], complaint: str) -> None:
    with github(answers, []) as url:
        result = export(cd, url)
    assert result.returncode == 1
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr
    unreachable = export(cd, "http://127.0.0.1:1")
    assert (unreachable.returncode, "cannot be asked" in unreachable.stderr) == (1, True)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--pipeline=acme"], "must be <owner>/<name>"),
        (["--listen=0"], "which is no port"),
        (["--api=file:///etc"], "must be an address"),
    ],
)
def test_bad_input_is_named(cd: Path, args: list[str], complaint: str) -> None:
    result = script(cd, "export-metrics", *args, check=False)
    assert (result.returncode, complaint in result.stderr) == (2, True), result.stderr


def eventually(url: str, wanted: str) -> str:
    """Return what is served once `wanted` is part of it."""
    text, end = "", time.monotonic() + 30
    while time.monotonic() < end:
        try:
            with urlopen(url) as answer:  # noqa: S310 (its own address)
                text = answer.read().decode()
        except OSError:
            text = ""
        if wanted in text:
            return text
        time.sleep(0.1)
    raise AssertionError(f"{wanted} is not in {text}")


def test_it_serves_what_is_new_and_keeps_what_was_known(remote: Path) -> None:
    work = clone(remote, "work")
    release(work, "dev", [build("orders")], "--push")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = clone(remote, "own")
    command = [sys.executable, "-B", str(own / "scripts/export-metrics"), f"--listen={port}", "--interval=0.2"]
    with github(ANSWERS, []) as url:
        (own.parent / "token").write_text("sesame")
        command += ["--pipeline=acme/ci-repo", f"--api={url}", f"--token-file={own.parent / 'token'}"]
        process = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE, text=True)
        try:
            place = f"http://127.0.0.1:{port}/metrics"
            one = eventually(place, 'triptych_environment_deployments{environment="dev"} 1')
            samples(one)
            assert "triptych_pipeline_queued_jobs 1" in eventually(place, "triptych_pipeline_queued_jobs")
            release(work, "dev", [build("orders", 2)], "--push")
            eventually(place, 'triptych_environment_deployments{environment="dev"} 2')
            # The server goes away: what was read stays, and its time says how old it is.
            run("mv", remote, remote.with_suffix(".gone"))
            time.sleep(1)
            assert 'triptych_environment_deployments{environment="dev"} 2' in eventually(place, "read_timestamp")
        finally:
            process.terminate()
            _, said = process.communicate()
    assert "error: git pull failed" in said
    assert "Traceback" not in said


def test_what_alerts_and_dashboards_may_ask_for_is_what_is_exposed(cd: Path) -> None:
    release(cd, "dev", [build("orders", 1)], env=at(hours=-3))
    release(cd, "dev", [build("orders", 2)], env=at(hours=-2))
    script(cd, "rollback", "--environment=dev", "--service=orders", "--reason=slow", "--by=bob")
    with github(ANSWERS, []) as url:
        text = export(cd, url).stdout
    exposed = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    assert {name for name in promql.known() if name.startswith("triptych_")} <= exposed
