"""How long versions soak and when environments take releases, as scripts/lib/schedule.py reads them."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.blueprints.cd_repo.support import modules, script
from tests.platform import Platform

WEEKDAYS = ["mon", "tue", "wed", "thu", "fri"]


@pytest.fixture(scope="module")
def schedule() -> Iterator[Any]:
    """The module of cd-repo's scripts."""
    with modules("schedule") as (module,):
        yield module


@pytest.mark.parametrize(
    ("text", "length"),
    [("30m", timedelta(minutes=30)), ("24h", timedelta(days=1)), ("2d", timedelta(days=2))],
)
def test_a_duration_is_a_number_and_a_unit(schedule: Any, text: str, length: timedelta) -> None:
    assert schedule.duration(text) == length


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(), "0m"),
        (timedelta(seconds=59), "0m"),
        (timedelta(minutes=61), "1h 1m"),
        (timedelta(days=3, minutes=2), "3d"),
        (timedelta(days=3, hours=5, minutes=2), "3d 5h"),
        (timedelta(days=-1), "0m"),
    ],
)
def test_people_read_two_units(schedule: Any, length: timedelta, text: str) -> None:
    assert schedule.span(length) == text


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        # 2026-11-25 is a Wednesday; Berlin is an hour ahead of UTC in winter.
        ("2026-11-25T08:00:00+00:00", None),
        ("2026-11-25T07:59:59+00:00", "2026-11-25T08:00:00+00:00"),
        ("2026-11-25T15:59:59+00:00", None),
        ("2026-11-25T16:00:00+00:00", "2026-11-26T08:00:00+00:00"),
        ("2026-11-27T16:00:00+00:00", "2026-11-30T08:00:00+00:00"),
        ("2026-11-28T12:00:00+00:00", "2026-11-30T08:00:00+00:00"),
        # In summer it is two: the clock decides.
        ("2026-07-01T07:00:00+00:00", None),
        ("2026-03-27T18:00:00+00:00", "2026-03-30T07:00:00+00:00"),
    ],
)
def test_a_window_goes_by_the_clock_of_its_zone(schedule: Any, now: str, opens: str | None) -> None:
    window = schedule.window(WEEKDAYS, "09:00", "17:00", "Europe/Berlin")
    opening = schedule.opening([window], datetime.fromisoformat(now))
    assert opening == (datetime.fromisoformat(opens) if opens else None)


def test_a_night_is_two_windows(schedule: Any) -> None:
    windows = [schedule.window(["sat"], "22:00", "24:00", "UTC"), schedule.window(["sun"], "00:00", "06:00", "UTC")]
    for inside in ("2026-11-28T23:59:59+00:00", "2026-11-29T00:00:00+00:00"):
        assert schedule.opening(windows, datetime.fromisoformat(inside)) is None
    assert schedule.opening(windows, datetime.fromisoformat("2026-11-29T06:00:00+00:00")) == datetime.fromisoformat(
        "2026-12-05T22:00:00+00:00"
    )


def test_without_windows_it_is_always_open(schedule: Any) -> None:
    assert schedule.opening([], datetime.fromisoformat("2026-11-29T06:00:00+00:00")) is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"soak": "1w"}, "'1w' is no duration"),
        ({"windows": [{"days": ["mon"], "from": "9:00", "to": "17:00", "timezone": "UTC"}]}, "no time of day"),
        ({"windows": [{"days": ["monday"], "from": "09:00", "to": "17:00", "timezone": "UTC"}]}, "monday: no day"),
        ({"windows": [{"days": ["mon"], "from": "17:00", "to": "09:00", "timezone": "UTC"}]}, "never opens"),
        ({"windows": [{"days": ["mon"], "from": "09:00", "to": "17:00", "timezone": "Mars"}]}, "no time zone Mars"),
        ({"windows": [{"days": ["mon"]}]}, "config/platform.json is not what it should be"),
    ],
)
def test_what_was_broken_by_hand_is_named(cd: Path, change: dict[str, Any], complaint: str) -> None:
    config = cd / "config/platform.json"
    platform = json.loads(config.read_text())
    platform["environments"][1] |= change
    config.write_text(json.dumps(platform))
    result = script(cd, "umbrella", "--check", check=False)
    assert result.returncode == 1
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_the_spec_reaches_the_scripts(platform: Platform) -> None:
    environments = json.loads((platform.cd / "config/platform.json").read_text())["environments"]
    stated = {environment["name"]: environment for environment in environments if "soak" in environment}
    assert set(stated) == ({"test"} if platform.name == "five-environments" else set())
    if platform.name == "five-environments":
        assert stated["test"]["soak"] == "2h"
        assert environments[-1]["windows"] == [
            {"days": WEEKDAYS, "from": "09:00", "to": "17:00", "timezone": "Europe/Berlin"},
            {"days": ["sat"], "from": "22:00", "to": "24:00", "timezone": "UTC"},
        ]
