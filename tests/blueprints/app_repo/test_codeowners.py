"""CODEOWNERS: whose review a change needs."""

from collections.abc import Callable
from pathlib import Path

from tests.platform import Platform, answers_of


def rules(app: Path) -> list[tuple[str, str]]:
    lines = (app / ".github/CODEOWNERS").read_text().splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#")]
    return [(pattern, owner) for pattern, owner in pairs]


def test_the_platform_s_team_owns_what_is_common_and_each_team_its_services(example: Platform) -> None:
    assert rules(example.app) == [
        ("*", "@acme/platform"),
        ("/services/catalog/", "@acme/payments"),
        ("/services/orders/", "@acme/platform"),
    ]


def test_each_owned_service_has_a_line(platform: Platform) -> None:
    answers = answers_of(platform.name, "app-repo")
    owned = {(f"/services/{s['name']}/", s["owner"]) for s in answers["services"] if s["owner"]}
    assert {rule for rule in rules(platform.app) if rule[0].startswith("/services/")} == owned
    for pattern, _ in owned:
        assert (platform.app / pattern.strip("/")).is_dir()


def test_without_teams_the_file_says_so(rendered: Callable[[str], Platform]) -> None:
    app = rendered("minimal").app
    assert rules(app) == []
    assert "Nobody owns anything yet: services.yaml names no team." in (app / ".github/CODEOWNERS").read_text()
