"""Tables in Markdown."""

from clipplus.markdown import markdown_table, mean_and_deviation


def test_columns_are_aligned_first_left_others_right() -> None:
    table = markdown_table([["method", "a"], ["x", "1.00 ± 0.10"]])
    assert table == "| method |           a |\n| ------ | ----------: |\n| x      | 1.00 ± 0.10 |"


def test_a_single_value_has_no_deviation() -> None:
    assert mean_and_deviation([1.5]) == "1.50"
    assert mean_and_deviation([1.0, 2.0, 3.0], "+") == "+2.00 ± 1.00"
