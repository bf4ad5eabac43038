"""scripts/diff-manifests: what a change does to the objects in the clusters, as text and as a comment."""

from pathlib import Path

import pytest

from tests.blueprints.cd_repo.support import build, release, script
from tests.blueprints.cd_repo.test_changed_services import change, commit
from tests.tools import run


@pytest.fixture
def deployed(cd: Path) -> Path:
    """A cd-repo with everything in dev, and orders in prod."""
    release(cd, "dev", [build("orders"), build("catalog")])
    release(cd, "prod", [build("orders")])
    return cd


def diff(cd: Path) -> tuple[str, str]:
    """Return the text and the comment."""
    file = cd.parent / "comment.md"
    text = script(cd, "diff-manifests", "--base=HEAD^", f"--comment={file}").stdout
    return text, file.read_text()


def test_a_change_of_values_is_shown_where_it_is_one(deployed: Path) -> None:
    change(deployed, "services/orders/custom/prod.yaml", "autoscaling: {max: 17}\n")
    text, comment = diff(deployed)
    assert text.splitlines()[0] == "prod: orders (+1 −1)"
    assert "+  maxReplicas: 17" in text
    assert "dev" not in text
    assert comment.startswith("<!-- manifests -->\n")
    assert "<details><summary><code>prod: orders</code> +1 −1</summary>\n\n```diff\n@@" in comment
    assert comment.count("<details>") == comment.count("</details>") == 1


def test_a_release_shows_its_image(deployed: Path) -> None:
    release(deployed, "dev", [build("orders", 2)])
    text, _ = diff(deployed)
    assert f'-          image: "ghcr.io/acme/orders:{build("orders")["version"]}' in text.replace("'", '"')
    assert f'+          image: "ghcr.io/acme/orders:{build("orders", 2)["version"]}' in text.replace("'", '"')


def test_a_service_that_comes_or_goes_is_whole(deployed: Path) -> None:
    release(deployed, "prod", [build("catalog")])
    text, _ = diff(deployed)
    assert text.startswith("prod: catalog (+")
    assert "-kind" not in text
    script(deployed, "registry", "--remove-service=catalog")
    commit(deployed)
    text, _ = diff(deployed)
    assert [line for line in text.splitlines() if line.startswith(("dev:", "prod:"))] == [
        line for line in text.splitlines() if ": catalog (+0 −" in line
    ]


def test_no_change_is_said(deployed: Path) -> None:
    change(deployed, "README.md")
    assert diff(deployed) == ("No manifest changes.\n", "<!-- manifests -->\nNo object in any cluster changes.\n")


def test_what_cannot_be_rendered_is_said(deployed: Path) -> None:
    change(deployed, "services/orders/custom/prod.yaml", "port: eighty\n")
    text, _ = diff(deployed)
    assert "+# It cannot be rendered:" in text


def test_text_of_a_pull_request_cannot_leave_its_frame(deployed: Path) -> None:
    bad = 'config: {A: "````\\n</details>\\n@acme/everybody"}\nextra: ignored\n'
    change(deployed, "services/orders/custom/prod.yaml", bad.replace("extra: ignored\n", ""))
    _, comment = diff(deployed)
    inside = comment.split("\n`````diff\n", 1)[1].split("\n`````\n", 1)[0]
    assert "@acme/everybody" in inside
    assert "@acme" not in comment.replace(inside, "")


def test_a_comment_is_never_longer_than_github_takes(deployed: Path) -> None:
    long = "".join(f'  V{number}: "{"x" * 200}"\n' for number in range(1000))
    change(deployed, "environments/dev/README.md")
    for service in ("orders", "catalog"):
        (deployed / f"services/{service}/custom").mkdir(exist_ok=True)
        (deployed / f"services/{service}/custom/values.yaml").write_text(f"config:\n{long}")
    commit(deployed)
    text, comment = diff(deployed)
    assert len(text) > 600_000
    assert 30_000 < len(comment) < 65_536
    # Each of them has room, though the first alone would fill the comment.
    assert comment.count("<details>") == comment.count("</details>") == 3
    assert comment.count("more lines: the artifact `manifests` of the run has all") == 3


def test_the_earlier_commit_is_checked_out_apart(deployed: Path) -> None:
    change(deployed, "services/orders/custom/prod.yaml", "autoscaling: {max: 17}\n")
    diff(deployed)
    assert run("git", "status", "--porcelain", cwd=deployed).stdout == ""
    assert len(run("git", "worktree", "list", cwd=deployed).stdout.splitlines()) == 1


def test_an_unknown_commit_is_an_error(deployed: Path) -> None:
    result = script(deployed, "diff-manifests", "--base=" + "0" * 40, check=False)
    assert result.returncode == 1
    assert "there is no commit" in result.stderr
