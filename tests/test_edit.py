"""Adding and removing services keeps every other byte of the spec."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("services: [\n  {name: a},\n]\n", "services: [\n  {name: a}, {name: b}\n]\n"),
        ("services:\n- name: a\n  language: python", "services:\n- name: a\n  language: python\n- name: b\n"),
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


@given(st.sampled_from(["orders", "catalog"]), st.from_regex("[a-z]{3,8}", fullmatch=True))
def test_what_is_added_can_be_removed_again(existing: str, name: str) -> None:
    if name == existing or name in COMMENTED:
        return
    assert remove_service(add_service(COMMENTED, {"name": name, "language": "python"}), name) == COMMENTED
