"""Losses that several methods use, exact over ranks."""

from clipplus.losses.finite import non_finite_rows
from clipplus.losses.gather import gather_rows, global_loss
from clipplus.losses.sigmoid import SigmoidContrastiveLoss, sigmoid_contrast
from clipplus.losses.softmax import SoftmaxContrastiveLoss, softmax_contrast

__all__ = [
    "SigmoidContrastiveLoss",
    "SoftmaxContrastiveLoss",
    "gather_rows",
    "global_loss",
    "non_finite_rows",
    "sigmoid_contrast",
    "softmax_contrast",
]
