"""What has no effect yet is said, not passed over."""

from pathlib import Path

from tests.workbench import SPEC, triptych


def test_backing_services_are_not_made_yet_and_the_user_hears_of_it(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_text(SPEC.replace("name: orders, ", "name: orders, uses: {redis: true}, "))

    for command in ("validate", "plan"):
        result = triptych(command, "-f", file)
        assert result.code == 0
        assert "note: services[0].uses.redis: orders gets no redis" in result.err
