"""Whatever somebody writes into a description comes out as it was written, in every format, and acts on nothing."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.names import TEXT
from generator.projection import repositories
from generator.rendering import ANSWERS_FILE, Renderer, renderer
from generator.spec import parse_spec
from generator.template import find_template
from tests.blueprints.test_hygiene import is_code, is_literal
from tests.workbench import SPEC

MARKER = "WALRUS"
_SNIPPETS = st.sampled_from(
    [
        *("[[ 7*7 ]]", "[% raw %]", "[#", "{{ .Values }}", "${{ github.token }}", "$(id)", "`id`", "../", ": ", " #"),
        *("'", '"', "\\", "\\n", "- ", "| ", "*", "_", "~", "<b>", "&amp;", "[a](b)", "!", "%", "@", "---", "{", "}"),
        *("é", "漢", "😀", "  "),
    ]
)
_CHARACTERS = st.characters(codec="utf-8").filter(lambda character: re.fullmatch(TEXT, character) is not None)
_TEXTS = st.lists(_SNIPPETS | _CHARACTERS, max_size=12).map("".join)


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    template = find_template()
    with renderer(template, tmp_path_factory.mktemp("pristine")) as rendering:
        yield rendering


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=_TEXTS, after=_TEXTS)
def test_any_text_stays_what_it_is(render: Renderer, tmp_path: Path, before: str, after: str) -> None:
    text = f"{before}{MARKER}{after}".strip()
    for repository in repositories(parse_spec(Path("services.yaml"), SPEC)):
        answers = repository.answers
        for part in (answers["platform"], *answers["services"]):
            if "description" in part:
                part["description"] = text
        target = tmp_path / repository.name
        render.render(answers, render.template.commit, target)
        for file in (path for path in target.rglob("*") if path.is_file() and not path.is_symlink()):
            content = file.read_text(encoding="utf-8")
            if MARKER in content and file.name != ANSWERS_FILE:
                assert not is_code(file), f"{file} is no place for free text"
                assert is_literal(text, file, content), f"{file} does not hold literally {text!r}"
        shutil.rmtree(target)


@given(st.text(max_size=20))
def test_text_that_could_act_on_its_surroundings_is_refused(text: str) -> None:
    """A description is one line without control characters, so that no format needs to think of them."""
    allowed = re.fullmatch(TEXT, text) is not None

    assert allowed == all(
        ord(character) > 0x1F
        and not 0x7F <= ord(character) <= 0x9F
        and character not in "\u2028\u2029\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        and character not in "\ufeff\ufffe\uffff"
        for character in text
    )
