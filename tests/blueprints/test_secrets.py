"""Secrets that live long: what is kept, and how each is replaced."""

from tests.platform import Platform


def test_the_readme_says_of_every_secret_how_it_is_replaced(platform: Platform) -> None:
    text = (platform.ci / "README.md").read_text()
    section = text.split("## Secrets that live long")[1].split("\n## ")[0]
    workflows = "".join(
        file.read_text()
        for repository in platform.repositories
        for file in (repository / ".github/workflows").glob("*")
    )
    used = {part.split(" ")[0].split("}")[0].rstrip(",') ") for part in workflows.split("secrets.")[1:]}
    assert len(used) > 3
    assert {name for name in used if name.isupper()} - {"GITHUB_TOKEN"} <= {
        word.strip("`,") for word in section.split() if word.startswith("`")
    }
