"""scripts/status and scripts/history: what runs where, and how it came to be."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import at, build, clone, head, release, script
from tests.tools import run


def version(service: str, number: int = 1) -> str:
    return build(service, number)["version"]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, without its heading."""
    return [re.split(" {2,}", line) for line in text.splitlines()[1:]]


def history(repository: Path, *args: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(script(repository, "history", "--json", *args).stdout)
    return events


class Page(HTMLParser):
    """Collects what a browser would show, and what it would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style" and data.strip():
            self.texts.append(data.strip())


def page(repository: Path, *args: str) -> Page:
    file = repository.parent / "status.html"
    script(repository, "status", f"--html={file}", *args)
    parsed = Page(file.read_text(encoding="utf-8"))
    assert parsed.open == [], f"left open: {parsed.open}"
    return parsed


@pytest.fixture
def busy(cd: Path) -> Path:
    """A repository in which things differ: orders newer in dev, catalog the same everywhere but prod."""
    release(cd, "dev", [build("catalog"), build("orders")], "--by=robot", env=at(days=-3))
    release(cd, "staging", [build("catalog"), build("orders")], "--by=ada", env=at(days=-2))
    release(cd, "prod", [build("orders")], "--by=ada", env=at(days=-1))
    release(cd, "dev", [build("orders", 60 * 5)], "--by=robot", env=at(hours=-2))
    return cd


# ── status ──


def test_the_table_shows_what_runs_where(busy: Path) -> None:
    text = script(busy, "status").stdout
    assert text.splitlines()[0].split() == ["SERVICE", "ENVIRONMENT", "VERSION", "AGE", "BY", "DRIFT"]
    assert rows(text) == [
        ["catalog", "dev", version("catalog"), "3d", "robot"],
        ["catalog", "staging", version("catalog"), "2d", "ada"],
        ["catalog", "prod", "–", "not here yet, but in staging"],
        ["orders", "dev", version("orders", 300), "2h", "robot"],
        ["orders", "staging", version("orders"), "2d", "ada", "4m behind dev"],
        ["orders", "prod", version("orders"), "1d", "ada"],
    ]


def test_pins_are_shown(busy: Path) -> None:
    script(busy, "pin", "--environment=prod", "--service=orders", "--reason=audit", "--until=7d", "--by=bob")
    assert "by bob: audit" in script(busy, "status").stdout
    (release,) = (
        one
        for one in json.loads(script(busy, "status", "--json").stdout)["releases"]
        if (one["service"], one["environment"]) == ("orders", "prod")
    )
    assert (release["pinned"]["by"], release["pin_is_over"]) == ("bob", False)


def test_programs_read_json(busy: Path) -> None:
    document = json.loads(script(busy, "status", "--json").stdout)
    assert document["environments"] == ["dev", "staging", "prod"]
    found = {(one["service"], one["environment"]): one for one in document["releases"]}
    assert (found["catalog", "prod"]["drift"], found["catalog", "prod"]["version"]) == ("missing", None)
    staging = found["orders", "staging"]
    assert (staging["drift"], staging["lag_seconds"], staging["digest"]) == (
        "behind",
        299,
        build("orders")["digest"],
    )
    assert staging["since"] != staging["deployed_at"], "the entry was made just now, and committed two days ago"


def test_one_service_or_environment(busy: Path) -> None:
    assert {row[0] for row in rows(script(busy, "status", "--service=orders").stdout)} == {"orders"}
    assert {row[1] for row in rows(script(busy, "status", "--environment=prod").stdout)} == {"prod"}


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["--service=odrers"], "odrers: not in the registry; there are catalog, orders"),
        (["--environment=qa"], "there is no environment qa"),
        (["--html=/nowhere/status.html"], "/nowhere/status.html cannot be written"),
    ],
)
def test_bad_input_is_named(busy: Path, args: list[str], complaint: str) -> None:
    result = script(busy, "status", *args, check=False)
    assert result.returncode == 2
    assert complaint in result.stderr


def test_before_the_first_release(cd: Path) -> None:
    assert script(cd, "status").stdout == "No service is released yet.\n"
    assert json.loads(script(cd, "status", "--json").stdout)["releases"] == []
    assert "0 services" in " ".join(page(cd).texts)
    assert script(cd, "history").stdout == "Nothing was deployed.\n"


def test_a_shallow_clone_says_what_it_does_not_know(remote: Path) -> None:
    work = clone(remote, "one")
    release(work, "dev", [build("orders")], "--push")
    result = script(clone(remote, "shallow", "--depth=1"), "status")
    assert "this clone is shallow" in result.stderr
    assert rows(result.stdout)[0][:3] == ["orders", "dev", version("orders")]


def test_the_page_shows_the_same(busy: Path) -> None:
    script(busy, "pin", "--environment=prod", "--service=orders", "--reason=audit", "--until=7d", "--by=bob")
    texts = page(busy).texts
    for text in ("dev", "staging", "prod", "catalog", "orders", version("orders", 300), "3d ago", "4m behind dev"):
        assert text in texts
    assert any(re.fullmatch(r"pinned until \S+ by bob: audit", text) for text in texts)
    assert any("2 services, 1 pins (0 over)" in text for text in texts)


def test_the_page_needs_nothing_else(busy: Path) -> None:
    tags = page(busy).tags
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object", "form"}
    assert not [attrs for _, attrs in tags if {"src", "href", "onclick", "style"} & attrs.keys()]
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in tags
    # On a narrow screen, each cell says of which environment it is.
    assert {attrs["data-environment"] for tag, attrs in tags if tag == "td"} == {"dev", "staging", "prod"}


def test_text_stays_text_on_the_page(cd: Path) -> None:
    nasty = """<script>alert(1)</script> "'& </td>"""
    release(cd, "dev", [build("orders")], f"--by={nasty}")
    script(cd, "pin", "--environment=dev", "--service=orders", f"--reason={nasty}", "--until=7d", f"--by={nasty}")
    shown = page(cd)
    assert not [tag for tag, _ in shown.tags if tag == "script"]
    assert any(text.endswith(f"by {nasty}: {nasty}") for text in shown.texts)


# ── history ──


def test_every_kind_of_change_is_there(busy: Path) -> None:
    script(busy, "promote", "--to=staging", "--service=orders", "--by=ada")
    script(busy, "rollback", "--environment=staging", "--service=orders", "--reason=slow", "--by=bob")
    script(busy, "unpin", "--environment=staging", "--service=orders", "--reason=fast again", "--by=bob")
    events = history(busy, "--service=orders", "--environment=staging")
    assert [(event["what"], event["from"], event["to"], event["by"], event["reason"]) for event in events] == [
        ("unpin", None, None, "bob", "fast again"),
        ("rollback", version("orders", 300), version("orders"), "bob", "slow"),
        ("promote", version("orders"), version("orders", 300), "ada", None),
        ("release", None, version("orders"), "ada", None),
    ]
    assert events[0]["commit"] == head(busy)


def test_the_table_is_newest_first(busy: Path) -> None:
    lines = rows(script(busy, "history", "--environment=dev").stdout)
    assert [(line[1], line[2], line[3]) for line in lines] == [
        ("release", "orders", "dev"),
        ("release", "orders", "dev"),
        ("release", "catalog", "dev"),
    ]
    assert len(rows(script(busy, "history", "--limit=2").stdout)) == 2


def test_what_a_person_reverts_counts_too(busy: Path) -> None:
    run("git", "revert", "--no-edit", "HEAD", cwd=busy)
    event = history(busy)[0]
    assert (event["what"], event["service"], event["from"], event["to"]) == (
        "change",
        "orders",
        version("orders", 300),
        version("orders"),
    )
    assert event["by"] == "Test"


@pytest.mark.parametrize("way", ["--no-ff", "--squash"])
def test_pull_requests_count_when_they_are_merged(busy: Path, way: str) -> None:
    run("git", "checkout", "--quiet", "-b", "proposal", cwd=busy)
    release(busy, "prod", [build("catalog")], "--by=ada", env=at(hours=-10))
    run("git", "checkout", "--quiet", "main", cwd=busy)
    release(busy, "dev", [build("orders", 301)], env=at(hours=-2))
    if way == "--squash":
        run("git", "merge", "--quiet", "--squash", "proposal", cwd=busy)
        body = run("git", "log", "-1", "--format=%B", "proposal", cwd=busy).stdout
        subject, _, rest = body.partition("\n")
        message = f"{subject} (#12){chr(10)}{rest.rstrip()}\n\nCo-authored-by: Bob <bob@acme.example>\n"
        run("git", "commit", "--quiet", f"--message={message}", cwd=busy, env=at(hours=-1))
    else:
        message = "Merge pull request #12 from acme/proposal"
        run("git", "merge", "--quiet", way, f"--message={message}", "proposal", cwd=busy, env=at(hours=-1))
    event = history(busy)[0]
    assert (event["what"], event["service"], event["environment"], event["by"]) == ("release", "catalog", "prod", "ada")
    assert event["commit"] == head(busy)
    assert [row[3] for row in rows(script(busy, "status", "--environment=prod", "--service=catalog").stdout)] == ["1h"]


def test_since_a_day(busy: Path) -> None:
    assert history(busy, "--since=2100-01-01") == []
    assert len(history(busy, "--since=2020-01-01")) == 6
    result = script(busy, "history", "--since=yesterday", check=False)
    assert (result.returncode, "must be a day" in result.stderr) == (2, True)


def test_settings_of_git_change_nothing(busy: Path) -> None:
    expected = history(busy)
    for key, value in (
        ("diff.noprefix", "true"),
        ("diff.mnemonicPrefix", "true"),
        ("color.ui", "always"),
        ("log.showSignature", "true"),
        ("log.date", "relative"),
        ("diff.external", "false"),
        ("format.pretty", "oneline"),
        ("core.quotePath", "false"),
        ("diff.context", "5"),
        ("log.follow", "true"),
    ):
        run("git", "config", key, value, cwd=busy)
    assert history(busy) == expected


def test_messages_that_look_like_something_else_are_only_messages(cd: Path) -> None:
    release(cd, "dev", [build("orders")])
    message = 'diff --git a/registry/releases/dev/x.yaml b/x\n\n+  tag: "1"\n\x01\x02 Deployed: x dev y z'
    (cd / "registry/releases/dev/orders.yaml").write_text("# mine\n")
    run("git", "commit", "--all", "--quiet", "--message", message, cwd=cd)
    assert [event["service"] for event in history(cd)] == ["orders"]
