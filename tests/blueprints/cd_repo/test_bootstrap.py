"""scripts/bootstrap against a kubectl and a helm that answer from a file and record what they were asked."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.platform import Platform, copy_of
from tests.tools import run

# Answers by the beginning of what comes after --context=…; an answer may be an exit code and a message on stderr.
FITTING: dict[str, Any] = {
    "version": json.dumps({"serverVersion": {"major": "1", "minor": "35+"}}),
    "auth can-i": "yes",
    "get": [1, 'Error from server (NotFound): deployments.apps "argocd-server" not found'],
    "apply": "serverside-applied",
}
RECORDER = """#!/usr/bin/env python3
import json, pathlib, sys
here = pathlib.Path(__file__).parent
words = [word for word in sys.argv[1:] if not word.startswith(("--context=", "--kube-context="))]
stdin = "" if sys.stdin.isatty() else sys.stdin.read()
with (here / "calls.jsonl").open("a") as log:
    log.write(json.dumps({"program": pathlib.Path(__file__).name, "arguments": sys.argv[1:], "stdin": stdin}) + chr(10))
answers = json.loads((here / "answers.json").read_text())
said = " ".join(words)
answer = next((answers[key] for key in sorted(answers, key=len, reverse=True) if said.startswith(key)), "")
if isinstance(answer, list):
    print(answer[1], file=sys.stderr)
    sys.exit(answer[0])
print(answer)
"""
Call = dict[str, Any]


class Machine:
    """A machine with a cd-repo, a kubectl and a helm, none of which is real but the first."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.repository, self.folder = repository, folder
        self.answers = {**FITTING, "config current-context": "kind-hub", "version --template": "v4.2.3"}
        folder.mkdir()
        for program in ("kubectl", "helm"):
            (folder / program).write_text(RECORDER)
            (folder / program).chmod(0o755)

    def bootstrap(self, *args: str | Path, check: bool = True) -> CompletedProcess[str]:
        (self.folder / "answers.json").write_text(json.dumps(self.answers))
        (self.folder / "calls.jsonl").write_text("")
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return run(self.repository / "scripts/bootstrap", *args, cwd=self.repository, env={"PATH": path}, check=check)

    def refusal(self, *args: str | Path) -> str:
        result = self.bootstrap(*args, check=False)
        assert result.returncode in {1, 2}
        assert self.changes() == []
        assert "Traceback" not in result.stderr
        return result.stderr

    def calls(self) -> Iterator[Call]:
        for line in (self.folder / "calls.jsonl").read_text().splitlines():
            yield json.loads(line)

    def changes(self) -> list[Call]:
        """Return the calls that change a cluster."""
        return [call for call in self.calls() if {"apply", "upgrade"} & set(call["arguments"])]

    def applied(self) -> dict[str, Any]:
        """Return what was applied from standard input, by kind and name."""
        objects = [json.loads(line) for call in self.changes() for line in call["stdin"].splitlines()]
        return {f"{item['kind']}/{item['metadata']['name']}": item for item in objects}


@pytest.fixture
def machine(example: Platform, tmp_path: Path) -> Machine:
    return Machine(copy_of(example.cd, tmp_path), tmp_path / "bin")


@pytest.fixture
def app(tmp_path: Path) -> list[str]:
    """The options that give the values of a GitHub App."""
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN RSA PRIVATE KEY-----\nsecret\n-----END RSA PRIVATE KEY-----\n")
    return ["--github-app-id=12", "--github-app-installation-id=34", f"--github-app-private-key={key}"]


def test_a_bare_cluster_gets_argo_cd_and_the_root_application(machine: Machine, app: list[str]) -> None:
    machine.bootstrap("--cluster=dev", "--region=eu-central-1", *app)
    applied = machine.applied()
    assert set(applied) == {"Namespace/argocd", "Secret/cd-repository", "Secret/in-cluster"}
    assert applied["Namespace/argocd"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    repository, cluster = applied["Secret/cd-repository"], applied["Secret/in-cluster"]
    assert repository["metadata"]["labels"]["argocd.argoproj.io/secret-type"] == "repository"
    assert repository["stringData"]["url"] == "https://github.com/acme/cd-repo.git"
    assert repository["stringData"]["githubAppID"] == "12"
    assert "BEGIN RSA PRIVATE KEY" in repository["stringData"]["githubAppPrivateKey"]
    assert cluster["metadata"]["labels"] == {
        "argocd.argoproj.io/secret-type": "cluster",
        "acme/cluster": "dev",
        "acme/region": "eu-central-1",
    }
    steps = [call["program"] for call in machine.changes()]
    assert steps == ["kubectl", "kubectl", "kubectl", "helm", "kubectl"]
    assert [arg for arg in machine.changes()[-1]["arguments"] if arg.startswith("--filename=")] == [
        f"--filename={machine.repository / 'argocd' / name}" for name in ("project.yaml", "root.yaml")
    ]


def test_argo_cd_is_installed_as_its_application_will(machine: Machine, app: list[str]) -> None:
    custom = machine.repository / "platform/argocd/custom"
    custom.mkdir()
    for name in ("values.yaml", "dev.yaml", "prod.yaml"):
        (custom / name).write_text("argo-cd: {}\n")
    machine.bootstrap("--cluster=dev", *app)
    fetch, install = (
        call["arguments"] for call in machine.calls() if {"dependency", "upgrade"} & set(call["arguments"])
    )
    assert fetch[1:3] == ["dependency", "build"]
    assert install[1:3] == ["upgrade", "argocd"]
    assert {"--install", "--namespace=argocd", "--wait"} <= set(install)
    values = [arg.removeprefix("--values=") for arg in install if arg.startswith("--values=")]
    assert values == [str(custom / "values.yaml"), str(custom / "dev.yaml")]
    # What Helm fetches does not end up in the work tree.
    assert fetch[3] == install[3]
    assert not Path(fetch[3]).is_relative_to(machine.repository)


def test_every_command_names_the_context(machine: Machine, app: list[str]) -> None:
    machine.bootstrap("--context=other", *app)
    for call in machine.calls():
        local = {"dependency", "version"} & set(call["arguments"]) and call["program"] == "helm"
        option = "--context=other" if call["program"] == "kubectl" else "--kube-context=other"
        assert local or option in call["arguments"], call


def test_a_dry_run_changes_nothing_and_prints_no_secret(machine: Machine, app: list[str]) -> None:
    result = machine.bootstrap("--dry-run", *app)
    assert machine.changes() == []
    assert "would run: helm --kube-context=kind-hub upgrade argocd" in result.stdout
    assert result.stdout.count("would run: ") == 6
    assert "PRIVATE KEY" not in result.stdout + result.stderr
    assert run("git", "status", "--porcelain", cwd=machine.repository).stdout == ""


def test_secrets_are_in_no_argument(machine: Machine, app: list[str]) -> None:
    machine.bootstrap(*app)
    assert not any("PRIVATE KEY" in word for call in machine.calls() for word in call["arguments"])


def test_a_second_run_leaves_argo_cd_to_itself(machine: Machine) -> None:
    machine.answers |= {
        "get deployment": json.dumps({"metadata": {"annotations": {"meta.helm.sh/release-name": "argocd"}}}),
        "get secrets": json.dumps({"items": [{"data": {"url": "aHR0cHM6Ly9naXRodWIuY29tL2FjbWU="}}]}),
        "get secret in-cluster": json.dumps({"metadata": {"name": "in-cluster"}}),
        "get applications.argoproj.io": json.dumps({"metadata": {"name": "acme"}}),
    }
    result = machine.bootstrap()
    assert "Argo CD keeps itself already" in result.stdout
    assert set(machine.applied()) == {"Namespace/argocd"}
    assert [call["program"] for call in machine.changes()] == ["kubectl", "kubectl"]


def test_a_cluster_without_a_label_runs_no_environment(machine: Machine, app: list[str]) -> None:
    machine.bootstrap(*app)
    labels = machine.applied()["Secret/in-cluster"]["metadata"]["labels"]
    assert labels["acme/cluster"] == "hub"


def test_a_label_that_was_given_once_stays(machine: Machine, app: list[str]) -> None:
    labels = {"acme/cluster": "dev", "argocd.argoproj.io/secret-type": "cluster"}
    machine.answers["get secret in-cluster"] = json.dumps({"metadata": {"name": "in-cluster", "labels": labels}})
    machine.bootstrap("--region=eu", *app)
    assert machine.applied()["Secret/in-cluster"]["metadata"]["labels"] == {**labels, "acme/region": "eu"}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"config current-context": [1, "error: current-context is not set"]}, "kubectl has no current context"),
        ({"version": [1, "Unable to connect to the server"]}, "the cluster of the context kind-hub does not answer"),
        (
            {"version": json.dumps({"serverVersion": {"major": "1", "minor": "31"}})},
            "runs Kubernetes 1.31: the add-ons need",
        ),
        ({"auth can-i": [1, "no"]}, "you are no administrator of kind-hub"),
        ({"version --template": "v3.19.4"}, "helm on PATH is v3.19.4: install Helm 4"),
        ({"get deployment": json.dumps({"metadata": {}})}, "has an Argo CD that this script did not install"),
    ],
    ids=["no context", "no answer", "too old", "no rights", "old helm", "another Argo CD"],
)
def test_what_does_not_fit_is_refused(machine: Machine, app: list[str], answers: dict[str, Any], said: str) -> None:
    machine.answers |= answers
    assert said in machine.refusal(*app)


def test_without_credentials_argo_cd_could_read_nothing(machine: Machine) -> None:
    assert "Argo CD in kind-hub could not read https://github.com/acme/cd-repo.git" in machine.refusal()


def test_a_missing_program_is_named(machine: Machine, app: list[str]) -> None:
    (machine.folder / "helm").unlink()
    command = ["/usr/bin/env", f"PATH={machine.folder}", sys.executable, str(machine.repository / "scripts/bootstrap")]
    result = run(*command, *app, check=False)
    assert result.returncode == 1
    assert "helm is not on PATH" in result.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--cluster=devv"], "--cluster devv: no environment is in clusters with this label; there are dev, hub, prod"),
        (["--region=EU"], "--region EU: a label is of small letters"),
        (["--github-app-id=12"], "go together"),
        (["--previews"], "--previews: this platform has none; set features.previews"),
    ],
)
def test_bad_input_is_told(machine: Machine, args: list[str], said: str) -> None:
    assert said in machine.refusal(*args)


def test_what_is_no_key_is_told(machine: Machine, app: list[str], tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("ssh-ed25519 AAAA")
    assert "it holds no private key" in machine.refusal(*app)
    assert "GitHub shows a number" in machine.refusal(*(arg.replace("=12", "=acme") for arg in app))
