"""A non-finite loss stops the run with names."""

import pytest
import torch

from clipplus.losses import require_finite


def test_names_the_term_and_the_samples_with_bad_rows() -> None:
    rows = torch.zeros(3, 2)
    rows[1, 0] = float("nan")
    terms = {"contrast": torch.tensor(float("nan")), "other": torch.tensor(2.31)}
    with pytest.raises(
        FloatingPointError, match=r"'contrast' is nan at step .* \(samples 'b'\); finite terms: other 2.31"
    ):
        require_finite(terms, (torch.zeros(3, 4), rows), ["a", "b", "c"])


def test_names_the_whole_batch_when_all_rows_are_finite() -> None:
    with pytest.raises(FloatingPointError, match=r"samples row 0, row 1\)"):
        require_finite({"contrast": torch.tensor(float("inf"))}, (torch.zeros(2, 4),), None)


def test_finite_terms_pass() -> None:
    require_finite({"contrast": torch.tensor(1.0)}, (torch.zeros(2, 4),), ["a", "b"])
