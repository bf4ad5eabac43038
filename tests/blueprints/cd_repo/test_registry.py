"""registry/versions.yaml: one form, one meaning, and every fault named."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tests.blueprints.cd_repo.support import build, modules, release, script, services_of
from tests.platform import Platform
from tests.tools import ROOT

SCHEMA = json.loads((ROOT / "blueprints/cd-repo/registry/versions.schema.json").read_text())

ENTRY = {
    **{name: value for name, value in build("orders").items() if name != "service"},
    "deployed_at": "2026-11-23T10:00:00Z",
    "deployed_by": "robot[bot]",
}
PIN = {"by": "ada", "reason": "1.2 loses orders", "until": "2026-12-01"}


@pytest.fixture(scope="module")
def registry() -> Iterator[Any]:
    """The module of cd-repo's scripts that reads and writes the registry."""
    with modules("registry") as (module,):
        yield module


def names() -> st.SearchStrategy[str]:
    odd = st.sampled_from(["no", "on", "y", "null", "true", "e3", "a--b"])
    return odd | st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)


# What one reader of YAML or another takes for a number, a date, a time, a truth, nothing, or a piece of syntax.
TRAPS = ["1e3", "0x10", "0o17", "017", "1_000", "1.10", ".5", ".inf", "-.INF", ".nan", "12:30:45", "2026-11-23", "+1"]
WORDS = [
    "yes",
    "No",
    "ON",
    "off",
    "y",
    "N",
    "true",
    "False",
    "null",
    "~",
    "=",
    "<<",
    "---",
    "...",
    "- a",
    "? b",
    "a: b",
]
MARKS = [
    "#x",
    " #",
    "&a",
    "*a",
    "!t",
    "|",
    ">",
    "%",
    "@",
    "`",
    "'",
    '"',
    "\\",
    "\\n",
    "{}",
    "[",
    ", ",
    " ",
    "\u00a0",
    "漢字 🚀",
]
FORBIDDEN = "\u2028\u2029\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\ufffe\uffff"


def texts() -> st.SearchStrategy[str]:
    printable = st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=FORBIDDEN)
    return st.sampled_from([*TRAPS, *WORDS, *MARKS]) | st.text(printable, min_size=1, max_size=40)


def versions() -> st.SearchStrategy[str]:
    return st.sampled_from(
        [trap for trap in (*TRAPS, *WORDS) if trap.replace("_", "").replace(".", "").isalnum()]
    ).filter(lambda text: text[0].isalnum() and text[-1].isalnum()) | st.from_regex(
        r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True
    )


def entries() -> st.SearchStrategy[dict[str, Any]]:
    pins = st.fixed_dictionaries({"by": texts(), "reason": texts(), "until": st.dates().map(str)})
    plain = st.tuples(texts(), versions()).map(lambda pair: {**ENTRY, "deployed_by": pair[0], "version": pair[1]})
    return plain | st.tuples(plain, pins).map(lambda pair: {**pair[0], "pinned": pair[1]})


@settings(deadline=None)
@given(st.dictionaries(names(), st.dictionaries(names(), entries(), min_size=1, max_size=3), max_size=4))
def test_what_is_written_is_what_yaml_reads(registry: Any, services: dict[str, Any]) -> None:
    text = registry.dump(services)
    assert yaml.safe_load(text) == {"services": services}
    assert registry.parse(text) == services
    assert registry.dump(registry.parse(text)) == text
    jsonschema.validate({"services": services}, SCHEMA)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(names(), st.dictionaries(names(), entries(), min_size=1, max_size=3), max_size=4))
def test_what_is_made_of_it_reads_the_same_to_every_reader(registry: Any, services: dict[str, Any]) -> None:
    umbrella = importlib.import_module("lib.umbrella")
    environments = sorted({environment for entries in services.values() for environment in entries})
    acme = SimpleNamespace(name="acme", environments=[SimpleNamespace(name=name) for name in environments])
    files = {path.as_posix(): text for path, text in umbrella.files(acme, services).items() if isinstance(text, str)}
    for path, text in {**files, "registry/versions.yaml": registry.dump(services)}.items():
        assert yaml.safe_load(text) == YAML(typ="safe", pure=True).load(text), path
    for service, entries in services.items():
        for environment, entry in entries.items():
            image = {"tag": entry["version"], "digest": entry["digest"]}
            expected = {"service": service, "image": image}
            assert yaml.safe_load(files[f"registry/releases/{environment}/{service}.yaml"]) == expected
            values = yaml.safe_load(files[f"umbrella-chart/values-{environment}.yaml"])
            assert values[service] == {"enabled": True, **expected}


@pytest.mark.parametrize("character", [*FORBIDDEN, "\n", "\x00", "\x85", "\ud800"])
def test_text_that_acts_on_its_surroundings_is_refused(registry: Any, character: str) -> None:
    with pytest.raises(Exception, match="deployed_by is"):
        registry.parse(registry.dump({"orders": {"dev": {**ENTRY, "deployed_by": f"a{character}b"}}}))


def test_the_first_registry_is_empty(platform: Platform) -> None:
    text = (platform.cd / "registry/versions.yaml").read_text()
    assert yaml.safe_load(text) == {"services": {}}
    assert script(platform.cd, "registry", "--json").stdout == "{}\n"
    assert script(platform.cd, "status").stdout == "No service is released yet.\n"
    script(platform.cd, "registry", "--check")


def test_releases_fill_it(released: Path) -> None:
    script(released, "registry", "--check")
    registry = json.loads(script(released, "registry", "--json").stdout)
    assert registry == yaml.safe_load((released / "registry/versions.yaml").read_text())["services"]
    assert sorted(registry) == services_of(released)
    jsonschema.validate({"services": registry}, SCHEMA)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"version": "1.0/2"}, "version is '1.0/2'"),
        ({"version": "x" * 64}, "version is"),
        ({"digest": "sha256:abc"}, "digest is"),
        ({"commit": "abc"}, "commit is"),
        ({"source": ""}, "source is"),
        ({"committed_at": "yesterday"}, "committed_at is 'yesterday'"),
        ({"deployed_at": "2026-13-01T00:00:00Z"}, "deployed_at is '2026-13-01T00:00:00Z'"),
        ({"deployed_by": "a\nb"}, "deployed_by is"),
        ({"deployed_by": None}, "deployed_by is missing"),
        ({"deploy_by": "ada"}, "deploy_by is unknown"),
        ({"pinned": {"by": "ada"}}, "orders.dev.pinned: reason, until is missing"),
        ({"pinned": PIN | {"until": "soon"}}, "orders.dev.pinned: until is 'soon'"),
    ],
)
def test_a_wrong_field_is_named(registry: Any, change: dict[str, Any], place: str) -> None:
    entry = {name: value for name, value in (ENTRY | change).items() if value is not None}
    services = {"orders": {"dev": entry}}
    with pytest.raises(Exception, match=r"registry/versions[.]yaml: orders[.]dev") as caught:
        registry.parse(registry.dump(services))
    assert place in str(caught.value)
    # Editors, which know the schema alone, say so too.
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker(["date"]))
    if "deployed_at" not in change:
        assert not validator.is_valid({"services": services})


def test_a_pin_is_part_of_it(registry: Any) -> None:
    services = {"orders": {"dev": {**ENTRY, "pinned": PIN}}}
    assert registry.parse(registry.dump(services)) == services


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("services:\n  orders:\n    dev: {version: 1}\n", "versions.yaml:3: a value is text in double quotes"),
        ("services:\n  orders:\n    dev:\n      version: 1.10\n", "versions.yaml:4: a value is text in double quotes"),
        ("services:\n  orders: &anchor\n", "versions.yaml:2: a value is text in double quotes"),
        ("services:\n\torders:\n", "versions.yaml:2: a line is a key and a colon"),
        ("services:\n   orders:\n", "versions.yaml:2: a line is a key and a colon"),
        ("services:\n    orders:\n", "versions.yaml:2: is indented deeper"),
        ("services:\n  orders:\n  catalog:\n", "versions.yaml:3: the key before it has no value"),
        ('services:\n  a:\n    b:\n      c: "1"\n      c: "2"\n', "versions.yaml:5: c is there twice"),
        ("services:\n  orders:\n", "the last key has no value"),
        ("services:\n  # why\n  orders:\n", "versions.yaml:2: a line is a key and a colon"),
        ("<<<<<<< HEAD\nservices: {}\n", "versions.yaml:1: a line is a key and a colon"),
        ("versions: {}\n", "it holds one key, services"),
        ("", "versions.yaml:1: a line is a key and a colon"),
    ],
)
def test_anything_but_its_own_form_is_refused(registry: Any, text: str, complaint: str) -> None:
    with pytest.raises(Exception, match=r"registry/versions[.]yaml") as caught:
        registry.parse(text)
    assert complaint in str(caught.value)


def test_a_message_instead_of_a_traceback(cd: Path) -> None:
    (cd / "registry/versions.yaml").write_bytes(b"services:\n  \xff\n")
    result = script(cd, "registry", "--check", check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [("# Written by robots", "# written by robots"), ('digest: "', 'digest:  "'), ("  orders:", '  "orders":')],
    ids=["comment", "space", "quotes"],
)
def test_the_check_insists_on_the_one_form(cd: Path, old: str, new: str) -> None:
    release(cd, "dev", [build("orders")])
    file = cd / "registry/versions.yaml"
    file.write_text(file.read_text().replace(old, new))
    result = script(cd, "registry", "--check", check=False)
    assert result.returncode == 1
    assert "registry/versions.yaml" in result.stderr


def test_a_service_that_is_gone_is_named_with_the_way_out(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")])
    for file in sorted((cd / "services/orders").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
    (cd / "services/orders").rmdir()

    result = script(cd, "registry", "--check", check=False)
    assert result.returncode == 1
    assert "there is no services/orders" in result.stderr
    assert "scripts/registry --remove-service orders" in result.stderr

    named = script(cd, "registry", "--remove-service", "orders", "--dry-run").stdout
    assert "registry/releases/dev/orders.yaml" in named
    assert script(cd, "registry", "--remove-service", "orders").stdout == named
    assert list(json.loads(script(cd, "registry", "--json").stdout)) == ["catalog"]
    script(cd, "validate")


def test_an_environment_that_is_gone_is_named_with_the_way_out(cd: Path) -> None:
    release(cd, "dev", [build("orders"), build("catalog")])
    release(cd, "staging", [build("orders")])
    config = cd / "config/platform.json"
    platform = json.loads(config.read_text())
    platform["environments"] = [one for one in platform["environments"] if one["name"] != "staging"]
    config.write_text(json.dumps(platform))
    (cd / "services/orders/values-staging.yaml").unlink()

    result = script(cd, "registry", "--check", check=False)
    assert "orders is released to staging, which is no environment of the platform" in result.stderr
    assert "scripts/registry --remove-environment staging" in result.stderr

    script(cd, "registry", "--remove-environment", "staging")
    assert not (cd / "registry/releases/staging").exists() or not list((cd / "registry/releases/staging").iterdir())
    script(cd, "validate")


def test_nothing_is_removed_by_a_wrong_name(cd: Path) -> None:
    result = script(cd, "registry", "--remove-service", "odrers", check=False)
    assert (result.returncode, result.stderr) == (2, "error: registry/versions.yaml has nothing of that name\n")
