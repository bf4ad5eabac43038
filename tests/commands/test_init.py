"""`triptych init`."""

from pathlib import Path

from generator.schema import schema_text
from tests.workbench import triptych


def test_the_first_spec_is_valid_and_names_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"

    result = triptych("init", "-f", file, "--name", "acme", "--organization", "Acme-Inc", "--service", "orders")

    assert result.code == 0
    assert triptych("validate", "-f", file).out.endswith("is valid: 1 service, 3 environments.\n")
    assert file.read_text().startswith("# yaml-language-server: $schema=./services.schema.json\n")
    assert (tmp_path / "services.schema.json").read_text() == schema_text()


def test_a_file_that_exists_is_never_written_over(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text("mine\n")

    result = triptych("init", "-f", file, "--name", "a", "--organization", "a", "--service", "a")

    assert result.code == 1
    assert file.read_text() == "mine\n"


def test_what_makes_no_valid_spec_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"

    result = triptych("init", "-f", file, "--name", "../x", "--organization", "a", "--service", "a: b")

    assert result.code == 2
    assert "platform.name" in result.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_nothing_is_asked(tmp_path: Path) -> None:
    result = triptych("init", "-f", tmp_path / "services.yaml", "--name", "acme")

    assert result.code == 2
    assert "--organization is missing" in result.err
