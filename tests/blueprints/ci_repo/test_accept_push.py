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
    actor: str = "octo-cat",
) -> str:
    """Return the step's outputs."""
    outputs = scripts / "outputs"
    run(
        *(scripts / "accept-push", f"--repository={repository}", f"--ref={ref}", f"--commit={sha}"),
        f"--actor={actor}",
        env={"GITHUB_OUTPUT": str(outputs)},
    )
    return outputs.read_text()


def test_the_first_environments_branch_is_built(scripts: Path) -> None:
    assert accept(scripts) == f"build=true\nbranch=develop\ncommit={COMMIT}\nactor=octo-cat\n"


@pytest.mark.parametrize("actor", ["renovate[bot]", ""])
def test_who_pushed_may_be_a_robot_or_unknown(scripts: Path, actor: str) -> None:
    assert accept(scripts, actor=actor).endswith(f"actor={actor}\n")


@pytest.mark.parametrize("branch", ["staging", "main", "feature/login"])
def test_other_branches_build_nothing(scripts: Path, branch: str) -> None:
    assert accept(scripts, ref=f"refs/heads/{branch}").startswith("build=false\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ref", "develop; touch pwned"),
        ("ref", "$(touch pwned)"),
        ("ref", "develop\nbuild=true"),
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
        ("actor", "octo\nbuild=true"),
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
