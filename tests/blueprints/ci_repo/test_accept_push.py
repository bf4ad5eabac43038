"""scripts/accept-push decides what a push asks for, and refuses what is no push."""

from pathlib import Path

import pytest

from tests.tools import run

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def accept(
    scripts: Path,
    *,
    repository: str = "acme/app-repo",
    ref: str = "refs/heads/develop",
    sha: str = COMMIT,
    before: str = "f" * 40,
    actor: str = "octo-cat",
) -> str:
    """Return the step's outputs."""
    outputs = scripts / "outputs"
    run(
        *(scripts / "accept-push", f"--repository={repository}", f"--ref={ref}", f"--commit={sha}"),
        f"--before={before}",
        f"--actor={actor}",
        env={"GITHUB_OUTPUT": str(outputs)},
    )
    return outputs.read_text()


def test_the_first_environments_branch_is_built(scripts: Path) -> None:
    assert accept(scripts) == f"environment=dev\nbranch=develop\ncommit={COMMIT}\nactor=octo-cat\n"


@pytest.mark.parametrize("actor", ["renovate[bot]", ""])
def test_who_pushed_may_be_a_robot_or_unknown(scripts: Path, actor: str) -> None:
    assert accept(scripts, actor=actor).endswith(f"actor={actor}\n")


@pytest.mark.parametrize(("branch", "environment"), [("staging", "staging"), ("main", "prod")])
def test_a_merge_to_the_branch_of_another_environment_is_for_that_environment(
    scripts: Path, branch: str, environment: str
) -> None:
    assert accept(scripts, ref=f"refs/heads/{branch}").startswith(f"environment={environment}\n")


def test_a_branch_of_no_environment_asks_for_nothing(scripts: Path) -> None:
    assert accept(scripts, ref="refs/heads/feature/login").startswith("environment=\n")


def test_a_branch_that_is_new_brings_nothing_but_to_the_first_environment(scripts: Path) -> None:
    for branch, environment in (("develop", "dev"), ("staging", ""), ("main", "")):
        assert accept(scripts, ref=branch, before="0" * 40).splitlines()[-4] == f"environment={environment}"


def test_where_environments_share_a_branch_the_first_gets_what_is_pushed(scripts: Path) -> None:
    config = scripts.parent / "config/platform.json"
    config.write_text(config.read_text().replace('"branch": "develop"', '"branch": "main"'))
    assert accept(scripts, ref="refs/heads/main").startswith("environment=dev\n")
    assert accept(scripts, ref="refs/heads/staging").splitlines()[-4] == "environment=staging"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ref", "develop; touch pwned"),
        ("ref", "$(touch pwned)"),
        ("ref", "develop\nenvironment=prod"),
        ("ref", "--upload-pack=touch pwned"),
        ("ref", "a..b"),
        ("ref", ""),
        ("sha", "HEAD"),
        ("sha", COMMIT.upper()),
        ("sha", f"{COMMIT}\n"),
        ("sha", ""),
        ("repository", "mallory/app-repo"),
        ("repository", ""),
        ("actor", "$(touch pwned)"),
        ("actor", "octo\nenvironment=prod"),
    ],
)
def test_a_hostile_payload_is_refused(scripts: Path, field: str, value: str) -> None:
    values = {
        "repository": "acme/app-repo",
        "ref": "refs/heads/develop",
        "sha": COMMIT,
        "actor": "octo-cat",
        field: value,
    }
    outputs = scripts / "outputs"
    result = run(
        scripts / "accept-push",
        f"--repository={values['repository']}",
        f"--ref={values['ref']}",
        f"--commit={values['sha']}",
        f"--actor={values['actor']}",
        env={"GITHUB_OUTPUT": str(outputs)},
        check=False,
        cwd=scripts,
    )
    assert result.returncode == 1
    assert not outputs.exists()
    assert not (scripts / "pwned").exists()
