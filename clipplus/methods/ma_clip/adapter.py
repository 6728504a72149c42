"""The bottleneck that is trained inside frozen blocks.

Section 3 and figure 3a of MA-CLIP (arXiv 2308.01532); initialisation from AIM (arXiv 2302.03024).
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class Adapter(nn.Module):
    """`up(GELU(down(x)))`, added to x where it has an inner skip; zero, or the identity, at the start.

    The activation is the exact GELU, whatever the tower uses.

    Args:
        width: D, of the tokens.
        ratio: hidden width over D, rounded down; 0.25 in AIM and in the published parameter counts.
        inner_skip: add x to the result.

    Raises:
        ValueError: a ratio that leaves no hidden channel.
    """

    def __init__(self, width: int, ratio: float = 0.25, inner_skip: bool = False) -> None:
        super().__init__()
        hidden = int(width * ratio)
        if hidden < 1:
            raise ValueError(f"adapter ratio {ratio} leaves no hidden channel of {width}: raise adapter.ratio")
        self.inner_skip = inner_skip
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)
        nn.init.trunc_normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Tokens (..., D) to tokens (..., D)."""
        adapted = self.up(F.gelu(self.down(x)))
        return x + adapted if self.inner_skip else adapted
