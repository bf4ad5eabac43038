"""What somebody may count on and does not get is said."""

from pathlib import Path

from tests.workbench import SPEC, triptych


def test_a_database_without_backups_is_told(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text(SPEC.replace("name: orders, ", "name: orders, uses: {postgres: true}, "))

    for command in ("validate", "plan"):
        result = triptych(command, "-f", file)
        assert result.code == 0
        assert "note: features.backup.destination: the database of orders is not backed up" in result.err


def test_an_experiment_that_no_cluster_has_is_told(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    agreed = SPEC.replace("name: orders, ", "name: orders, chaos: true, ")
    file.write_text(agreed.replace("services:", "environments: [{name: prod}]\nservices:"))
    assert "note: services[].chaos: orders would be experimented with" in triptych("validate", "-f", file).err
    for told in (agreed.replace("chaos: true", "chaos: false"), agreed):
        file.write_text(told)
        assert "note:" not in triptych("validate", "-f", file).err


def test_a_database_with_backups_is_nothing_to_tell(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    backup = "features: {backup: {destination: s3://acme-backups/postgres}}\nservices:"
    file.write_text(
        SPEC.replace("name: orders, ", "name: orders, uses: {postgres: true}, ").replace("services:", backup)
    )

    assert "note:" not in triptych("validate", "-f", file).err
