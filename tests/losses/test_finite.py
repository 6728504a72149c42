"""Which samples a non-finite loss comes from."""

import torch

from clipplus.losses import non_finite_rows


def test_names_the_rows_that_are_bad_in_any_tensor() -> None:
    image, text = torch.zeros(4, 3), torch.zeros(4, 2, 5)
    image[1, 0] = float("nan")
    text[3, 1, 4] = float("-inf")
    assert non_finite_rows((image, text)) == [1, 3]


def test_finite_rows_and_no_rows_name_nobody() -> None:
    assert non_finite_rows((torch.zeros(3, 4),)) == []
    assert non_finite_rows(()) == []
