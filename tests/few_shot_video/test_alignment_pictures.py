"""Which pairs of frames a picture shows."""

import pytest
import torch

from clipplus.few_shot_video import BiMHMMatcher, OTAMMatcher
from clipplus.few_shot_video.alignment_pictures import pair_weights


def test_of_clips_that_are_alike_the_diagonal_is_paired() -> None:
    dist = 1 - torch.eye(5)
    there, back = pair_weights(OTAMMatcher(smoothing=0.01), dist)
    assert there.argmax(dim=1).tolist() == [0, 1, 2, 3, 4]
    assert (there.diagonal() > 0.9).all()
    torch.testing.assert_close(back, there.T)


def test_directions_are_told_apart() -> None:
    """All frames of the query are like the first of the other clip."""
    dist = torch.ones(3, 4)
    dist[:, 0] = 0
    there, back = pair_weights(BiMHMMatcher(reduction="mean"), dist)
    assert back is not None
    assert there.tolist() == [[1, 0, 0, 0]] * 3
    assert back.sum(dim=0).tolist() == pytest.approx([1, 1, 1, 1])
    assert back[:, 1:].sum() == pytest.approx(3)


def test_the_matcher_stays_as_it_was() -> None:
    matcher = BiMHMMatcher(reduction="mean")
    pair_weights(matcher, torch.rand(3, 4))
    assert (matcher.bidirectional, matcher.reduction) == (True, "mean")


def test_a_matcher_of_one_direction_has_no_other() -> None:
    there, back = pair_weights(OTAMMatcher(bidirectional=False), torch.rand(3, 4))
    assert there.shape == (3, 4)
    assert back is None
