"""The add-ons of a cd-repo, rendered without the charts that others publish."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tests.blueprints.cd_repo.support import LOADER, Object, objects
from tests.tools import run, tool

# What clusters know once the waves before have brought it.
KINDS = ("cert-manager.io/v1", "external-secrets.io/v1", "gateway.networking.k8s.io/v1", "monitoring.coreos.com/v1")
HUB = {"name": "in-cluster", "normalized": "in-cluster", "label": "dev", "region": "none", "hub": "true"}


def load(file: Path) -> Object:
    document: Object = yaml.load(file.read_text(), LOADER)  # noqa: S506 (the safe one, in C)
    return document


def addons_of(repository: Path) -> dict[str, Object]:
    """Return what platform/addons/values.yaml says of each add-on."""
    addons: dict[str, Object] = load(repository / "platform/addons/values.yaml")["addons"]
    return addons


def applications_of(repository: Path, **cluster: str) -> dict[str, Object]:
    """Return the Applications of the add-ons of one cluster, by add-on; without arguments that of Argo CD itself."""
    values = [f"--set-string=cluster.{key}={value}" for key, value in (cluster or HUB).items()]
    text = run(tool("helm"), "template", "addons", repository / "platform/addons", *values).stdout
    return {application["metadata"]["labels"]["addon"]: application for application in objects(text)}


def folder_of(repository: Path, addon: str) -> Path:
    """Return the chart of an add-on."""
    return repository / str(addons_of(repository)[addon].get("folder", f"platform/{addon}"))


@cache
def own_objects(repository: Path, addon: str, *values: str) -> list[Object]:
    """Return the objects that an add-on's own templates make; an empty chart stands for that of others.

    `values` are files of the add-on that go over its values.yaml, such as that of a cluster.
    """
    with TemporaryDirectory() as scratch:
        chart = Path(shutil.copytree(folder_of(repository, addon), Path(scratch) / addon))
        for dependency in load(chart / "Chart.yaml").get("dependencies", []):
            stub = chart / "charts" / dependency["name"]
            stub.mkdir(parents=True)
            described = {"apiVersion": "v2", "name": dependency["name"], "version": dependency["version"]}
            (stub / "Chart.yaml").write_text(yaml.safe_dump(described))
        namespace = addons_of(repository)[addon]["namespace"]
        known = [f"--api-versions={kind}" for kind in KINDS]
        given = chart / "given.yaml"
        given.write_text(yaml.safe_dump(applications_of(repository)[addon]["spec"]["source"]["helm"]["valuesObject"]))
        command = (tool("helm"), "template", addon, chart, f"--namespace={namespace}", f"--values={given}")
        return objects(run(*command, *known, *(f"--values={chart / file}" for file in values)).stdout)


def every_object(repository: Path) -> Iterator[Object]:
    """Yield the Applications of all add-ons, and the objects of their own templates."""
    yield from applications_of(repository).values()
    for addon in addons_of(repository):
        yield from own_objects(repository, addon)
