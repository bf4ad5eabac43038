"""What the tests of cd-repo have in common: builds, scripts, and rendered objects."""

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.platform import copy_of
from tests.tools import BIN, ROOT, run, tool

Object = dict[str, Any]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Scripts call helm by name.
PATH = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def build(service: str, number: int = 1, committed_at: str | None = None) -> dict[str, str]:
    """Return the build with this number of a service, as ci-repo writes it; a greater number is a later commit."""

    def digits(what: str, length: int) -> str:
        return hashlib.sha256(f"{what} {service} {number}".encode()).hexdigest()[:length]

    return {
        "service": service,
        "version": f"20261101.{number:06}-{digits('commit', 12)}",
        "digest": f"sha256:{digits('image', 64)}",
        "commit": digits("commit", 40),
        "committed_at": committed_at or f"2026-11-01T10:{number // 60:02}:{number % 60:02}+01:00",
        "source": digits("source", 64),
    }


@contextmanager
def modules(*names: str) -> Iterator[list[ModuleType]]:
    """Import modules of scripts/lib."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "blueprints/cd-repo/scripts"))
        # The suite must not leave caches in the blueprint: they would be rendered.
        patch.setattr(sys, "dont_write_bytecode", True)
        yield [importlib.import_module(f"lib.{name}") for name in names]
        for name in [name for name in sys.modules if name == "lib" or name.startswith("lib.")]:
            del sys.modules[name]


def script(
    repository: Path, name: str, *args: str | Path, check: bool = True, env: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run a script of a rendered cd-repo."""
    return run(repository / "scripts" / name, *args, cwd=repository, env={**PATH, **(env or {})}, check=check)


def release(
    repository: Path,
    environment: str,
    builds: Iterable[Mapping[str, object]],
    *args: str,
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> CompletedProcess[str]:
    """Release builds to an environment."""
    batch = list(builds)
    key = hashlib.sha256(json.dumps(batch).encode()).hexdigest()[:16]
    file = repository.parent / f"builds-{key}.json"
    file.write_text(json.dumps(batch), encoding="utf-8")
    return script(
        repository, "release", f"--environment={environment}", f"--builds={file}", *args, check=check, env=env
    )


def registry(repository: Path) -> Any:
    """Return what the registry says, by service and environment."""
    return json.loads(script(repository, "registry", "--json").stdout)


def head(repository: Path) -> str:
    return run("git", "rev-parse", "HEAD", cwd=repository).stdout.strip()


def log(repository: Path, form: str, *args: str) -> list[str]:
    return run("git", "log", f"--format={form}", *args, cwd=repository).stdout.strip().split("\n")


def clone(remote: Path, name: str, *args: str) -> Path:
    """Clone the repository on the server into a folder of its own."""
    folder = remote.parent / name / "cd-repo"
    run("git", "clone", "--quiet", *args, f"file://{remote}", folder)
    return folder


def at(**ahead: float) -> dict[str, str]:
    """Return an environment in which git commits at another time than now."""
    moment = datetime.now(UTC) + timedelta(**ahead)
    return {"GIT_COMMITTER_DATE": moment.isoformat(), "GIT_AUTHOR_DATE": moment.isoformat()}


def change_platform(repository: Path, environment: str, **fields: Any) -> None:
    """Change and commit what config/platform.json says of an environment."""
    config = repository / "config/platform.json"
    platform = json.loads(config.read_text())
    (entry,) = (one for one in platform["environments"] if one["name"] == environment)
    entry.update(fields)
    config.write_text(json.dumps(platform, indent=2) + "\n")
    run("git", "commit", "--quiet", "--message", f"Change {environment}", "--only", config, cwd=repository)


def environments_of(repository: Path) -> list[dict[str, str]]:
    environments: list[dict[str, str]] = json.loads((repository / "config/platform.json").read_text())["environments"]
    return environments


def services_of(repository: Path) -> list[str]:
    return sorted(path.name for path in (repository / "services").iterdir())


def release_everything(cd: Path, directory: Path) -> Path:
    """Copy a rendered cd-repo and release every service to every environment."""
    repository = copy_of(cd, directory)
    for environment in environments_of(repository):
        release(repository, environment["name"], map(build, services_of(repository)))
    return repository


def objects(text: str) -> list[Object]:
    """Return the objects of a stream of manifests."""
    return [document for document in yaml.load_all(text, LOADER) if document]


def by_kind(rendered: Iterable[Object]) -> dict[str, Object]:
    """Return objects by kind and name, such as `Service/orders`."""
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in rendered}


@cache
def rendered(repository: Path, environment: str, *args: str) -> list[Object]:
    """Return what Argo CD applies to an environment. The objects are kept: change copies of them."""
    return objects(script(repository, "render", f"--environment={environment}", *args).stdout)


def helm_template(
    repository: Path, service: str, environment: str, values: Mapping[str, Any], *args: str, check: bool = True
) -> CompletedProcess[str]:
    """Render a released service with further values over its own."""
    over = repository.parent / f"values-{hashlib.sha256(json.dumps(values).encode()).hexdigest()[:16]}.json"
    over.write_text(json.dumps(values), encoding="utf-8")
    files = [
        f"environments/{environment}/values.yaml",
        f"services/{service}/values-{environment}.yaml",
        f"registry/releases/{environment}/{service}.yaml",
    ]
    chosen = [f"--values={file}" for file in files if (repository / file).is_file()]
    command = [
        tool("helm"),
        "template",
        "--skip-tests",
        service,
        f"services/{service}",
        *chosen,
        f"--values={over}",
        *args,
    ]
    return run(*command, cwd=repository, check=check)


def with_values(repository: Path, service: str, environment: str, **values: Any) -> dict[str, Object]:
    """Return the objects of a service with further values over its own, by kind and name."""
    return by_kind(objects(helm_template(repository, service, environment, values).stdout))


def helm_tests(repository: Path, service: str, environment: str, **values: Any) -> dict[str, Object]:
    """Return the objects of `helm test` of a service, with further values over its own, by kind and name."""
    made = helm_template(repository, service, environment, values, "--skip-tests=false").stdout
    return {
        name: item
        for name, item in by_kind(objects(made)).items()
        if "helm.sh/hook" in item["metadata"].get("annotations", {})
    }


def refusal(repository: Path, service: str, environment: str, values: Mapping[str, Any]) -> str:
    """Return what Helm says when it does not render a service with these values."""
    result = helm_template(repository, service, environment, values, check=False)
    assert result.returncode != 0, f"rendered with {values}"
    return result.stderr


def pod_of(workload: Object) -> Object:
    """Return the pod that a Deployment or Rollout runs."""
    pod: Object = workload["spec"]["template"]["spec"]
    return pod
