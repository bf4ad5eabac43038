"""docs/disaster-recovery.md: what is promised, and the way back from a lost cluster."""

import re
from pathlib import Path

from tests.blueprints.cd_repo.addons import addons_of
from tests.blueprints.cd_repo.pages import assert_known, commands_of, manifests_of
from tests.blueprints.cd_repo.schemas import custom_problems
from tests.platform import Platform


def page(repository: Path) -> str:
    return (repository / "docs/disaster-recovery.md").read_text()


def test_every_command_is_one_and_every_manifest_is_valid(platform: Platform) -> None:
    text = page(platform.cd)
    assert len(commands_of(text)) > 5
    assert_known(commands_of(text), platform.cd)
    assert custom_problems(manifests_of(text)) == []
    assert len(manifests_of(text)) == ("velero" in addons_of(platform.cd))


def test_links_lead_somewhere(platform: Platform) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page(platform.cd)):
        assert (platform.cd / "docs" / target).exists() or target == "runbooks/", target


def test_objectives_are_those_of_what_is_backed_up(example: Platform, minimal: Platform) -> None:
    text = page(example.cd)
    assert "| databases in prod | 5 minutes" in text
    assert "`s3://acme-backups/postgres/velero/<cluster>`" in text
    assert "python3 scripts/recover-database orders prod --to latest > services/orders/custom/prod.yaml" in text
    # Nothing is promised that is not done.
    text = page(minimal.cd)
    assert "databases" not in re.sub(r"databases in prod have three instances", "", text.partition("## A database")[0])
    assert "velero" not in text.lower()
    assert "| what only a cluster knows: keys of certificates, Secrets made in it, volumes | **everything** |" in text
