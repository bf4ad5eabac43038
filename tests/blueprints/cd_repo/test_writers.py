"""Many writers of one registry: nothing is lost, nothing newer overwritten, and nobody waits for long."""

import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.blueprints.cd_repo.support import build, clone, head, log, registry, script
from tests.blueprints.cd_repo.writers import Write, Written, percentile, run_at_once
from tests.tools import run

DAY = 8 * 3600.0


def with_services(remote: Path, names: list[str]) -> None:
    """Give the repository on the server services of these names."""
    work = clone(remote, "services")
    for name in names:
        shutil.copytree(work / "services/catalog", work / "services" / name, symlinks=True)
    run("git", "add", "--all", cwd=work)
    run("git", "commit", "--quiet", "--message", "Add services", cwd=work)
    run("git", "push", "--quiet", "origin", "main", cwd=work)


def report(capsys: pytest.CaptureFixture[str], what: str, written: list[Written]) -> None:
    """Print how long writes took."""
    seconds, retries = [one.seconds for one in written], [one.retries for one in written]
    with capsys.disabled():
        print(
            f"\n{what}: {len(written)} writes, {sum(retries)} retries, at most {max(retries)} a write, "
            f"p50 {percentile(seconds, 0.5):.2f} s, p99 {percentile(seconds, 0.99):.2f} s, max {max(seconds):.2f} s"
        )


def expect_whole(remote: Path, expected: dict[str, str], before: str, commits: int) -> None:
    """Fail unless the registry says just this, and every commit stands on the one before it."""
    after = clone(remote, "after")
    state = {service: entries["dev"]["version"] for service, entries in registry(after).items()}
    assert state == expected
    history = log(remote, "%H %P", f"{before}..main")
    assert len(history) == commits
    assert all(len(line.split(" ")) == 2 for line in history), "the history is not linear"
    # What is made from the registry belongs to it in every single commit, not only in the last one.
    script(after, "registry", "--check")
    script(after, "umbrella", "--check")
    deployed = log(remote, "%(trailers:key=Deployed,valueonly)", f"{before}..main")
    assert len([line for line in deployed if line]) >= len(expected)


@pytest.mark.slow
@pytest.mark.parametrize("count", [7, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_writers_at_once_lose_none_of_their_updates(
    count: int, remote: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Each writes twice, five services at a time: four of its own, and one that all of them want.
    own = [[[f"own-{writer}-{half}-{number}" for number in range(4)] for half in range(2)] for writer in range(count)]
    names = [name for halves in own for four in halves for name in four]
    with_services(remote, [*names, "wanted"])
    before = head(remote)
    clones = [clone(remote, f"writer-{writer}", "--depth=1") for writer in range(count)]
    writes = [
        [
            Write([*(build(name) for name in four), build("wanted", count * half + writer + 1)])
            for half, four in enumerate(halves)
        ]
        for writer, halves in enumerate(own)
    ]
    written = run_at_once(clones, writes)

    assert [one.error for one in written if one.code != 0] == []
    assert {one.outcome for one in written} == {"pushed"}
    # Whoever came last, the newest build of the service that all want stands.
    expected = {name: build(name)["version"] for name in names} | {"wanted": build("wanted", 2 * count)["version"]}
    expect_whole(remote, expected, before, commits=2 * count)
    report(capsys, f"{count} writers at once", written)


def working_day(count: int) -> list[float]:
    """Return when the writes of a day come, in seconds: single ones, pairs, and one wave of ten."""
    chance = random.Random(7)  # noqa: S311 (a plan, no secret)
    times = [DAY / 2 + second for second in range(10)]
    while len(times) < count:
        moment = chance.uniform(0, DAY)
        times.append(moment)
        if chance.random() < 0.35:
            times.append(moment + chance.uniform(0, 20))
    return sorted(times[:count])


@pytest.mark.exhaustive
def test_a_working_day_of_a_large_organization(remote: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = working_day(250)
    close = [later - earlier < 60 for earlier, later in pairwise(times)]
    assert sum(1 for before, after in pairwise([False, *close, False]) if before or after) > 125
    assert any(times[start + 9] - times[start] <= 10 for start in range(len(times) - 9))

    services = [f"service-{number}" for number in range(30)]
    with_services(remote, services)
    before = head(remote)
    # A day in 20 seconds: what is a minute apart comes within 40 ms.
    pace = 20 / DAY
    clones = [clone(remote, f"writer-{writer}", "--depth=1") for writer in range(10)]
    writes: list[list[Write]] = [[] for _ in clones]
    expected: dict[str, str] = {}
    for number, moment in enumerate(times):
        made = build(services[number % 30], number + 1)
        writes[number % 10].append(Write([made], at=moment * pace))
        expected[made["service"]] = made["version"]
    written = run_at_once(clones, writes)

    assert [one.error for one in written if one.code != 0] == []
    # The builds of one service come from one writer, in order: none is too late.
    assert {one.outcome for one in written} == {"pushed"}
    expect_whole(remote, expected, before, commits=250)
    report(capsys, "a working day in 20 seconds", written)
