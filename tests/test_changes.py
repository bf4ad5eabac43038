"""What is said of files and answers."""

from generator.changes import AnswerChange, Change, Kind, answer_changes, file_changes
from generator.git import Tree


def _tree(**files: str) -> Tree:
    return {name: ("100644", content) for name, content in files.items()}


def test_each_file_is_told_from_four_trees() -> None:
    changes = file_changes(
        head=_tree(same="1", clean="1", edited="mine", gone="1", gone_edited="mine", both="mine", extra="mine"),
        base=_tree(same="1", clean="1", edited="1", gone="1", gone_edited="1", both="1"),
        result=_tree(same="1", clean="2", edited="merged", both="markers", new="2"),
        conflicts=["both"],
        doomed=["extra"],
    )

    assert changes == [
        Change("both", Kind.CONFLICT),
        Change("clean", Kind.CHANGED),
        Change("edited", Kind.MERGED),
        Change("extra", Kind.REMOVED_EDITED),
        Change("gone", Kind.REMOVED),
        Change("gone_edited", Kind.REMOVED_EDITED),
        Change("new", Kind.NEW),
    ]


def test_a_file_whose_mode_alone_changes_is_changed() -> None:
    before, after = {"run": ("100644", "1")}, {"run": ("100755", "1")}

    assert file_changes(head=before, base=before, result=after, conflicts=[], doomed=[]) == [
        Change("run", Kind.CHANGED)
    ]


def test_services_are_compared_by_name_and_those_that_come_are_no_changes() -> None:
    before = {"services": [{"name": "a", "port": 1}, {"name": "b", "port": 1}]}
    after = {"services": [{"name": "b", "port": 2}, {"name": "c", "port": 3}]}

    assert answer_changes(before, after) == [AnswerChange("services[b].port", 1, 2)]


def test_a_key_that_was_not_asked_for_before_is_a_new_default() -> None:
    assert answer_changes({"a": 1}, {"a": 1, "b": {"c": 2}}) == [AnswerChange("b", None, {"c": 2}, is_new=True)]


def test_a_chart_value_is_stated_by_the_spec_and_no_default() -> None:
    before = {"services": [{"name": "a", "values": {}}]}
    after = {"services": [{"name": "a", "values": {"port": 9000}}]}

    assert answer_changes(before, after) == [AnswerChange("services[a].values.port", None, 9000)]
