"""Backups of clusters: where they go, how long they stay, and the drill that proves that they come back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from generator.addons import wanted
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo.addons import load, own_objects
from tests.blueprints.cd_repo.schemas import custom_problems
from tests.blueprints.cd_repo.support import by_kind, release_everything, rendered
from tests.platform import Platform
from tests.tools import ROOT

(DRILL,) = (ROOT / "blueprints/cd-repo/platform").glob("*/restore-drill.py")
CANARY = {"text": "canary"}


@pytest.mark.parametrize(
    ("backup", "provider", "place", "config"),
    [
        ("{destination: s3://acme, region: eu-central-1}", "aws", ("acme", "velero"), {"region": "eu-central-1"}),
        ("{destination: gs://acme/a/b}", "gcp", ("acme", "a/b/velero"), {}),
        (
            "{destination: https://acme1.blob.core.windows.net/box/a}",
            "azure",
            ("box", "a/velero"),
            {
                "useAAD": "true",
                "storageAccount": "acme1",
                "storageAccountURI": "https://acme1.blob.core.windows.net",
            },
        ),
    ],
)
def test_backups_go_where_the_spec_says(
    backup: str, provider: str, place: tuple[str, str], config: dict[str, str], tmp_path: Path
) -> None:
    cd = platforms.render_spec(
        platforms.with_features("minimal", f"backup: {backup}", tmp_path), tmp_path / "platform"
    ).cd
    location = by_kind(own_objects(cd, "velero"))["BackupStorageLocation/default"]["spec"]
    assert location["provider"] == provider
    bucket, prefix = place
    # A folder for each cluster.
    assert location["objectStorage"] == {"bucket": bucket, "prefix": f"{prefix}/in-cluster"}
    assert location.get("config", {}) == config
    values = load(cd / "platform/velero/values.yaml")["velero"]
    (plugin,) = values["initContainers"]
    assert plugin["image"].startswith(
        f"docker.io/velero/velero-plugin-for-{'microsoft-' * (provider == 'azure')}{provider}:"
    )
    # No key lies anywhere.
    assert values["credentials"] == {"useSecret": False}
    assert values.get("podLabels", {}) == ({"azure.workload.identity/use": "true"} if provider == "azure" else {})


def test_a_store_that_speaks_s3_is_written_to_with_a_key_from_vault(tmp_path: Path) -> None:
    asked = "backup: {destination: s3://acme/a, endpoint: 'http://s3.acme.example:9000', region: fr-par}"
    spec = platforms.with_features("example", asked, tmp_path)
    cd = platforms.render_spec(spec, tmp_path / "platform").cd
    made = by_kind(own_objects(cd, "velero"))
    assert made["BackupStorageLocation/default"]["spec"]["config"] == {
        "region": "fr-par",
        "s3Url": "http://s3.acme.example:9000",
        "s3ForcePathStyle": "true",
        "checksumAlgorithm": "",
    }
    secret = made["ExternalSecret/velero-s3"]["spec"]
    values = load(cd / "platform/velero/values.yaml")["velero"]
    assert values["credentials"] == {"useSecret": True, "existingSecret": secret["target"]["name"]}
    assert secret["target"]["template"]["data"]["cloud"].splitlines()[1:] == [
        "aws_access_key_id={{ .id }}",
        "aws_secret_access_key={{ .secret }}",
    ]
    # Where the store is says nothing of the driver of volumes.
    assert not [name for name in made if name.startswith("VolumeSnapshotClass")]
    assert made["Schedule/daily"]["spec"]["template"]["snapshotVolumes"] is False

    database = by_kind(rendered(release_everything(cd, tmp_path), "dev"))
    store = database["ObjectStore/orders-postgres"]["spec"]
    assert store["configuration"]["endpointURL"] == "http://s3.acme.example:9000"
    (name,) = {credential["name"] for credential in store["configuration"]["s3Credentials"].values()}
    key = database[f"ExternalSecret/{name}"]
    assert {item["remoteRef"]["key"] for item in key["spec"]["data"]} == {"backup/s3"}
    ports = [item["port"] for item in database["NetworkPolicy/orders-postgres"]["spec"]["egress"][-1]["ports"]]
    assert ports == [443, 6443, 9000]
    assert custom_problems([database["ObjectStore/orders-postgres"], key, made["ExternalSecret/velero-s3"]]) == []


def test_backups_of_the_last_environment_are_kept_longest(example: Platform) -> None:
    kept = {
        name: load(example.cd / f"platform/velero/values-{name}.yaml")["schedule"]["retention"]
        for name in ("dev", "staging", "prod")
    }
    assert kept == {"dev": "168h", "staging": "168h", "prod": "720h"}


def test_the_identity_is_that_of_the_spec(example: Platform) -> None:
    account = load(example.cd / "platform/velero/values.yaml")["velero"]["serviceAccount"]["server"]
    assert account == {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::0:role/backup"}}


def test_the_drill_runs_in_the_image_that_python_services_are_built_on(example: Platform) -> None:
    dockerfile = (example.app / "services/orders/Dockerfile").read_text()
    assert f"BASE_IMAGE={load(example.cd / 'platform/velero/values.yaml')['drill']['image']}\n" in dockerfile


def test_volumes_of_databases_are_left_to_their_own_backups(example: Platform) -> None:
    made = by_kind(own_objects(example.cd, "velero"))
    policy = made["ConfigMap/volumes"]["data"]["policy.yaml"]
    assert "app.kubernetes.io/component: postgres" in policy
    assert made["Schedule/daily"]["spec"]["template"]["resourcePolicy"]["name"] == "volumes"
    # The label that the library gives all that belongs to a database.
    library = (example.cd / "library").rglob("postgres/_cluster.yaml")
    assert all("app.kubernetes.io/component: postgres" in path.read_text() for path in library)


@pytest.mark.parametrize("features", ["backup: {destination: null}", "backup: {clusters: false}"])
def test_without_a_destination_or_by_a_switch_there_is_none(features: str, tmp_path: Path) -> None:
    spec = platforms.with_features("example", features, tmp_path)
    assert "velero" not in {addon.name for addon in wanted(load_spec(spec))}


def test_the_drill_may_do_what_it_does_and_nothing_else(example: Platform) -> None:
    made = by_kind(own_objects(example.cd, "velero"))
    job = made["CronJob/restore-drill"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert job["serviceAccountName"] == "restore-drill"
    assert made["ConfigMap/restore-drill"]["data"]["restore-drill.py"] == DRILL.read_text()
    rules = [
        (item["metadata"]["namespace"], rule["apiGroups"], rule["resources"], rule["verbs"])
        for item in own_objects(example.cd, "velero")
        if item["kind"] == "Role"
        for rule in item["rules"]
    ]
    assert rules == [
        ("velero", ["velero.io"], ["backups"], ["list"]),
        ("velero", ["velero.io"], ["restores"], ["create", "get", "delete"]),
        ("velero", [""], ["configmaps"], ["get"]),
        ("restore-drill", [""], ["configmaps"], ["get", "list", "deletecollection"]),
    ]
    assert not [item for item in own_objects(example.cd, "velero") if item["kind"] == "ClusterRole"]


# ── the drill itself, against an API that behaves as Velero's ──


class Api:
    """As much of a cluster as the drill sees; Velero restores what is in `backups`."""

    def __init__(self, backups: list[dict[str, Any]], phases: list[str], restored: dict[str, Any]) -> None:
        self.backups, self.phases, self.restored = backups, phases, restored
        self.requests: list[str] = []
        self.restore: dict[str, Any] = {}

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        base = "/apis/velero.io/v1/namespaces/velero"
        if (method, path) == ("GET", f"{base}/backups"):
            assert query["labelSelector"] == ["velero.io/schedule-name=daily"]
            return 200, {"items": self.backups}
        if (method, path) == ("POST", f"{base}/restores"):
            self.restore = body
            return 201, body
        name = self.restore.get("metadata", {}).get("name")
        if path == f"{base}/restores/{name}":
            phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
            return 200, {"status": {"phase": phase, "errors": 1 if phase == "PartiallyFailed" else 0}}
        if path == "/api/v1/namespaces/velero/configmaps/restore-canary":
            return 200, {"data": CANARY}
        if path == "/api/v1/namespaces/restore-drill/configmaps":
            assert query["labelSelector"] == [f"velero.io/restore-name={name}"]
            items = [{"metadata": {"name": key}, "data": data} for key, data in self.restored.items()]
            return 200, {"items": items}
        return 404, {"message": "not found"}


def serve(api: Api) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            if self.headers["Authorization"] != "Bearer sesame":
                self.send_error(401)
                return
            url = urlparse(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            code, answer = api.answer(self.command, url.path, parse_qs(url.query), body)
            text = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = reply  # noqa: N815 (called so by http.server)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def backup(name: str, hours: float, phase: str = "Completed") -> dict[str, Any]:
    taken = datetime.now(UTC) - timedelta(hours=hours)
    return {
        "metadata": {"name": name},
        "status": {"phase": phase, "completionTimestamp": f"{taken:%Y-%m-%dT%H:%M:%SZ}"},
    }


def drill(api: Api, tmp_path: Path, **environment: str) -> CompletedProcess[str]:
    (tmp_path / "token").write_text("sesame\n")
    for url in serve(api):
        settings = {
            "API_URL": url,
            "SERVICE_ACCOUNT": str(tmp_path),
            "NAMESPACE": "velero",
            "NAMESPACES": "acme-prod",
            "MAX_AGE_HOURS": "26",
            "PAUSE_SECONDS": "0.01",
            "WAIT_SECONDS": "5",
        }
        return subprocess.run(
            [sys.executable, "-B", DRILL],
            env={"PATH": os.environ["PATH"], **settings, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
    raise AssertionError


WHOLE = {"restore-canary": CANARY, "settings": {"A": "1"}}


def test_the_newest_whole_backup_is_restored_beside_and_cleaned_up(tmp_path: Path) -> None:
    backups = [backup("older", 20), backup("newest", 4), backup("broken", 1, "PartiallyFailed")]
    api = Api(backups, ["New", "InProgress", "Completed"], WHOLE)
    result = drill(api, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "newest comes back: 2 ConfigMaps of velero, acme-prod\n"
    spec = api.restore["spec"]
    assert spec["backupName"] == "newest"
    assert spec["namespaceMapping"] == {"velero": "restore-drill", "acme-prod": "restore-drill"}
    assert spec["includedResources"] == ["configmaps"]
    name = api.restore["metadata"]["name"]
    assert api.requests[-2:] == [
        "DELETE /api/v1/namespaces/restore-drill/configmaps",
        f"DELETE /apis/velero.io/v1/namespaces/velero/restores/{name}",
    ]


@pytest.mark.parametrize(
    ("backups", "phases", "restored", "said"),
    [
        ([], ["New"], {}, "there is no whole backup among 0"),
        ([backup("a", 1, "Failed")], ["New"], {}, "there is no whole backup among 1"),
        ([backup("a", 30)], ["New"], {}, "the newest whole backup, a, is of "),
        ([backup("a", 1)], ["InProgress", "PartiallyFailed"], WHOLE, "ended as PartiallyFailed with 1 errors"),
        ([backup("a", 1)], ["FailedValidation"], WHOLE, "ended as FailedValidation"),
        ([backup("a", 1)], ["Completed"], {"settings": {}}, "restore-canary did not come back; 1 other objects did"),
        ([backup("a", 1)], ["Completed"], {"restore-canary": {"text": "x"}}, "restore-canary came back different"),
    ],
)
def test_the_drill_fails_when_a_backup_is_not_one(
    backups: list[dict[str, Any]], phases: list[str], restored: dict[str, Any], said: str, tmp_path: Path
) -> None:
    api = Api(backups, phases, restored)
    result = drill(api, tmp_path)
    assert result.returncode == 1
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    # Whatever was begun is cleaned up.
    assert bool(api.restore) == any(request.startswith("DELETE") for request in api.requests)


def test_a_restore_that_hangs_and_an_api_that_refuses_fail_the_drill(tmp_path: Path) -> None:
    hangs = drill(Api([backup("a", 1)], ["InProgress"], WHOLE), tmp_path, WAIT_SECONDS="0.2")
    assert hangs.returncode == 1
    assert "is InProgress after 0 seconds" in hangs.stderr
    (tmp_path / "refused").mkdir()
    refused = drill(Api([], ["New"], {}), tmp_path, SERVICE_ACCOUNT=str(tmp_path / "refused"))
    assert refused.returncode == 1
    assert "the drill failed: " in refused.stderr
