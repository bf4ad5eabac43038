"""Adding and removing services keeps every other byte of the spec."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from generator.edit import add_service, remove_service
from generator.errors import InputError
from tests.workbench import SPEC

COMMENTED = """\
# The shop.
apiVersion: triptych/v1   # fixed
platform: {name: "acme",   github: {organization: 'acme'}}

services:
  # Takes orders.
  - name: 'orders'      # the first
    language: python
    description: |-
      text

  # What is sold.
  # Since 2019.
  - name: catalog
    language: python
    dependsOn:
      - orders

# The end.
"""


def test_a_service_is_added_after_the_last_one() -> None:
    edited = add_service(COMMENTED, {"name": "billing", "language": "python", "dependsOn": ["orders"]})

    assert edited == COMMENTED.replace(
        "      - orders\n",
        "      - orders\n  - name: billing\n    language: python\n    dependsOn: [orders]\n",
    )


def test_a_service_is_written_in_the_manner_of_the_one_before() -> None:
    assert (
        add_service(SPEC, {"name": "billing", "language": "python"}) == SPEC + "  - {name: billing, language: python}\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("services: [{name: a, language: python}]\n", "services: [{name: a, language: python}, {name: b}]\n"),
        ("services: [{name: a}, ]\n", "services: [{name: a}, {name: b}, ]\n"),
        ("services: [\n  {name: a},\n]\n", "services: [\n  {name: a},\n  {name: b},\n]\n"),
        ("services: [\n  {name: a}\n]\n", "services: [\n  {name: a},\n  {name: b}\n]\n"),
        ("services: [ # all\n  {name: a} # one\n]\n", "services: [ # all\n  {name: a}, # one\n  {name: b}\n]\n"),
        ("services: [{name: a} # one, [\n ]\n", "services: [{name: a}, {name: b} # one, [\n ]\n"),
        ('{"services": [{"name": "a"}]}', '{"services": [{"name": "a"}, {"name": "b"}]}'),
        ("services: [] # none yet\n", "services: [{name: b}] # none yet\n"),
        ("services: # none yet\nteams: []\n", "services: # none yet\n  - name: b\nteams: []\n"),
        ("services:\n- name: a\n  language: python", "services:\n- name: a\n  language: python\n- name: b"),
        ("services: !!seq\n  -\n    name: a # one\n", "services: !!seq\n  -\n    name: a # one\n  - name: b\n"),
        ("services: &all\n- &a\n  name: a\n", "services: &all\n- &a\n  name: a\n- name: b\n"),
        ("services:\n- name: a\n  d: |+\n    text\n\n", "services:\n- name: a\n  d: |+\n    text\n\n- name: b\n"),
        ("services:\n- name: a\n  d: |\n    text\n\n", "services:\n- name: a\n  d: |\n    text\n- name: b\n\n"),
        ("services:\n- name: a\n  # port: 80\n# end\n", "services:\n- name: a\n  # port: 80\n- name: b\n# end\n"),
        ("services:\r\n- name: a\r\n", "services:\r\n- name: a\r\n- name: b\r\n"),
        ("services:\n- name: a\n  uses:\nteams: []\n", "services:\n- name: a\n  uses:\n- name: b\nteams: []\n"),
    ],
)
def test_every_form_of_list(before: str, after: str) -> None:
    assert add_service(before, {"name": "b"}) == after


def test_a_word_that_yaml_reads_otherwise_is_quoted() -> None:
    assert add_service(SPEC, {"name": "on", "description": 'a: "b" #c'}).endswith(
        '  - {name: "on", description: "a: \\"b\\" #c"}\n'
    )


def test_a_service_goes_with_its_comment() -> None:
    assert remove_service(COMMENTED, "catalog") == COMMENTED.replace(
        "  # What is sold.\n  # Since 2019.\n  - name: catalog\n    language: python\n"
        "    dependsOn:\n      - orders\n\n",
        "",
    )


def test_a_comment_above_the_first_service_stays() -> None:
    edited = remove_service(COMMENTED, "orders")

    assert "services:\n  # Takes orders.\n\n  # What is sold.\n  # Since 2019.\n  - name: catalog\n" in edited


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_a_service_leaves_a_list_on_one_line(name: str) -> None:
    edited = remove_service("services: [{name: a}, {name: b}, {name: c}]\n", name)

    rest = ", ".join(f"{{name: {other}}}" for other in "abc" if other != name)
    assert edited == f"services: [{rest}]\n"


def test_the_only_service_stays() -> None:
    with pytest.raises(InputError, match="the only service"):
        remove_service("services: [{name: a}]\n", "a")


def test_what_looks_like_a_comment_above_may_be_text_of_the_service_before() -> None:
    text = "services:\n- name: a\n  description: |\n    # A heading\n- name: b\n"

    assert remove_service(text, "b") == text.removesuffix("- name: b\n")


def test_a_service_that_others_are_made_from_is_left_to_a_person() -> None:
    with pytest.raises(InputError, match="by hand; nothing was written"):
        remove_service("services:\n- &a {name: a, port: 80}\n- {<<: *a, name: b}\n", "a")


def test_a_list_that_is_not_the_specs_own_is_told() -> None:
    with pytest.raises(InputError, match="no list of services of its own"):
        add_service("x: &list [{name: a}]\nservices: *list\n", {"name": "b"})


NAMES = ["orders", "catalog", "billing", "search"]


@st.composite
def spellings(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Return the text of a spec, spelled in one of the many ways, and the names of its services."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, 4))]
    below = draw(st.sampled_from(["teams: []", "# The end.", ""]))
    head = ["apiVersion: triptych/v1", "platform: {name: acme, github: {organization: acme}}"]
    listed = draw(st.sampled_from([_block_list, _bracket_list]))(draw, names)
    lines = [*draw(st.permutations(head)), *listed, *([below] if below else [])]
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    # Without a line end behind it, a block of text would be another one.
    end = newline if "# text" in "".join(lines) else draw(st.sampled_from(["", newline]))
    return newline.join(lines) + end, names


def _block_list(draw: st.DrawFn, names: list[str]) -> list[str]:
    indent = draw(st.sampled_from(["", "  ", "    "]))
    lines = ["services:" + draw(st.sampled_from(["", " &all", " !!seq", "  # the services"]))]
    for number, name in enumerate(names):
        lines += draw(st.sampled_from([[], [f"{indent}# above {name}"], ["", f"{indent}# above {name}"], [""]]))
        behind = draw(st.sampled_from(["", f" # behind {name}"]))
        anchor = draw(st.sampled_from(["", f"&{name} ", "!!map "]))
        pairs = _pairs(draw, name, merges=names[0] if number and f"&{names[0]} " in "".join(lines) else None)
        if draw(st.booleans()):
            lines.append(f"{indent}- {anchor}{{{', '.join(pairs)}}}{behind}")
            continue
        dash, step = draw(st.sampled_from([("- ", "  "), ("-   ", "    ")]))
        if anchor or draw(st.booleans()):
            lines.append(f"{indent}- {anchor}".rstrip() + behind)
        else:
            lines.append(f"{indent}{dash}{pairs.pop(0)}{behind}")
        lines += [f"{indent}{step}{pair}" for pair in pairs]
        if draw(st.booleans()):
            lines += [f"{indent}{step}dependsOn:", f"{indent}{step}- {names[number - 1]}  # used by {name}"]
        if draw(st.booleans()):
            lines += [f"{indent}{step}description: {draw(st.sampled_from(['|', '>-', '|+']))}"]
            lines += [f"{indent}{step}  # text of {name}", *draw(st.sampled_from([[], [""]]))]
        lines += draw(st.sampled_from([[], [f"{indent}{step}# inside {name}"]]))
    return lines


def _bracket_list(draw: st.DrawFn, names: list[str]) -> list[str]:
    text = "services: " + draw(st.sampled_from(["", "&all ", "!!seq "])) + "["
    text += draw(st.sampled_from(["", "\n  ", " # the services\n  "]))
    for number, name in enumerate(names):
        merges = names[0] if number and f"&{names[0]} " in text else None
        text += draw(st.sampled_from(["", f"&{name} "])) + "{" + ", ".join(_pairs(draw, name, merges=merges)) + "}"
        comma = "," if number + 1 < len(names) or draw(st.booleans()) else ""
        text += draw(st.sampled_from([comma, f"{comma} # behind {name}\n  ", f" # behind {name}\n  {comma}"]))
        if number + 1 < len(names):
            text += draw(st.sampled_from([" ", "\n  ", "\n\n  ", f"\n  # above {names[number + 1]}\n  "]))
    return (text + draw(st.sampled_from(["", "\n"])) + "]").split("\n")


def _pairs(draw: st.DrawFn, name: str, merges: str | None) -> list[str]:
    quote = draw(st.sampled_from(["", "'", '"']))
    pairs = [f"name: {quote}{name}{quote}", "language: python"]
    if merges and draw(st.booleans()):
        pairs = [f"<<: *{merges}", f"name: {name}"]
    return draw(st.permutations(pairs))


@given(spellings())
def test_in_every_spelling_what_is_added_can_be_removed_again(spelling: tuple[str, list[str]]) -> None:
    text, names = spelling

    edited = add_service(text, {"name": "new-one", "language": "python"})

    assert _names(edited) == [*names, "new-one"]
    assert remove_service(edited, "new-one") == text


@given(spellings(), st.data())
def test_in_every_spelling_a_service_leaves_alone(spelling: tuple[str, list[str]], data: st.DataObject) -> None:
    text, names = spelling
    name = data.draw(st.sampled_from(names))
    if f"*{name}" in text:
        return  # others are made from it

    edited = remove_service(text, name)

    assert _names(edited) == [other for other in names if other != name]
    assert ("\r\n" in text) == ("\r\n" in edited)
    assert text[-1:].isspace() == edited[-1:].isspace()
    # What others have stays; of its own, the comment above goes unless it stands above the whole list.
    comments = re.findall(r"# [^\r\n]*", text)
    gone = [comment for comment in comments if comment not in re.findall(r"# [^\r\n]*", edited)]
    assert all(name in comment for comment in gone), gone


def _names(text: str) -> list[str]:
    return [service["name"] for service in YAML(typ="safe", pure=True).load(text)["services"]]
