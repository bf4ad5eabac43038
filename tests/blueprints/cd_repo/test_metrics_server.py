"""metrics-server, for clusters whose cloud brings none."""

from pathlib import Path

from generator.addons import wanted
from generator.spec import load_spec
from tests import platform as platforms
from tests.blueprints.cd_repo.addons import addons_of, load
from tests.platform import Platform


def made(features: str, folder: Path) -> Path:
    spec = platforms.with_features("minimal", features, folder)
    return platforms.render_spec(spec, folder / "out").cd


def test_it_is_there_where_it_is_asked_for_alone(minimal: Platform, tmp_path: Path) -> None:
    cd = made("scaling: {metricsServer: true}", tmp_path)
    assert addons_of(cd)["metrics-server"]["namespace"] == "metrics-server"
    assert "metrics-server (GKE" not in (cd / "README.md").read_text()
    assert "metrics-server" not in {addon.name for addon in wanted(load_spec(platforms.spec_of("minimal")))}
    assert not (minimal.cd / "platform/metrics-server").exists()
    assert "metrics-server (GKE" in (minimal.cd / "README.md").read_text()


def test_kubernetes_knows_whom_it_asks_where_there_are_certificates(tmp_path: Path) -> None:
    values = load(made("scaling: {metricsServer: true}", tmp_path) / "platform/metrics-server/values.yaml")
    assert values["metrics-server"]["tls"]["type"] == "cert-manager"
    assert values["metrics-server"]["apiService"] == {"insecureSkipTLSVerify": False}
    assert values["metrics-server"]["serviceMonitor"]["enabled"]


def test_it_does_without_what_is_off(tmp_path: Path) -> None:
    off = "{scaling: {metricsServer: true}, certManager: {enabled: false}, observability: {metrics: false}}"
    values = load(made(off, tmp_path) / "platform/metrics-server/values.yaml")
    assert values["metrics-server"].keys() == {"resources"}


def test_in_the_last_environment_one_may_be_away(tmp_path: Path) -> None:
    folder = made("scaling: {metricsServer: true}", tmp_path) / "platform/metrics-server"
    values = {file.stem: load(file)["metrics-server"] for file in folder.glob("values-*.yaml")}
    assert {name: made.get("replicas", 1) for name, made in values.items()} == {
        "values-dev": 1,
        "values-staging": 1,
        "values-prod": 2,
    }
