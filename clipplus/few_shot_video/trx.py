"""Temporal cross-transformers (TRX): ordered tuples of query frames, rebuilt from those of a class.

Perrett et al. 2021, "Temporal-Relational CrossTransformers for Few-Shot Action Recognition". Shape letters of this
file: E episodes, Q queries, S supports, W ways, T frames, D channels, c frames of a tuple, N tuples of a clip, K shots
of a way (the most there are), H channels of keys and values.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from mmengine.registry import MODELS
from torch import Tensor, nn

from clipplus.few_shot_video.distances import at_least_float32
from clipplus.few_shot_video.frame_matcher import require_clips
from clipplus.few_shot_video.ways import Ways


def sinusoids(frames: int, channels: int, dtype: torch.dtype) -> Float[Tensor, "T D"]:
    """Positions 0.. as waves: sines on even, cosines on odd channels, base 10000 (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(torch.arange(0, channels, 2, dtype=dtype) * (-math.log(10000.0) / channels))
    angles = torch.arange(frames)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :channels]


class CrossTransformer(nn.Module):
    """Distances between queries and classes from tuples of one size.

    A tuple's key and value are linear in its frames, written one behind the other. Here each frame is projected once
    for every place that it can take in a tuple, and a tuple adds up: the same numbers with N * c / (T * c) of the
    products.

    Args:
        channels: D.
        cardinality: c.
        out_channels: H.
        dropout: on frames with their positions, in training.
        position_scale: of the sinusoids that are added to frames.
    """

    def __init__(
        self, channels: int, cardinality: int, out_channels: int, dropout: float, position_scale: float
    ) -> None:
        super().__init__()
        self.cardinality, self.position_scale = cardinality, position_scale
        self.k_linear = nn.Linear(channels * cardinality, out_channels)
        self.v_linear = nn.Linear(channels * cardinality, out_channels)
        self.norm_k = nn.LayerNorm(out_channels)
        # Part of the published files and unused there, too; frozen, since DDP refuses weights without gradient.
        self.norm_v = nn.LayerNorm(out_channels).requires_grad_(False)
        self.dropout = nn.Dropout(dropout)

    def tuples(self, clips: Float[Tensor, "*clips T D"]) -> tuple[Tensor, Tensor]:
        """Keys and values (..., N, H) of all tuples, in lexicographic order of their frames."""
        frames, channels = clips.shape[-2:]
        if frames < self.cardinality:
            raise ValueError(f"TRX compares tuples of {self.cardinality} frames, but the clips have {frames}")
        positions = sinusoids(frames, channels, clips.dtype).to(clips.device, non_blocking=True)
        clips = self.dropout(clips + self.position_scale * positions)
        chosen = torch.tensor(list(combinations(range(frames), self.cardinality)))
        chosen_Nc = chosen.to(clips.device, non_blocking=True)
        keys = self._summed(clips, self.k_linear, chosen_Nc)
        return self.norm_k(keys), self._summed(clips, self.v_linear, chosen_Nc)

    def _summed(self, clips: Tensor, linear: nn.Linear, chosen_Nc: Tensor) -> Tensor:
        """`linear` of the frames of each tuple, one behind the other."""
        places = linear.weight.unflatten(1, (self.cardinality, -1)).unbind(1)
        parts = [(clips @ weight.T)[..., chosen_Nc[:, place], :] for place, weight in enumerate(places)]
        return torch.stack(parts).sum(0) + linear.bias

    def forward(self, query: Float[Tensor, "E Q T D"], support: Float[Tensor, "E S U D"], ways: Ways) -> Tensor:
        """Distances (E, Q, W): mean squared distance of the query's tuples to what attention makes of the class's."""
        query_keys, query_values = self.tuples(query)
        (keys_EWKNH, values_EWKNH), missing_EWK = _by_way(self.tuples(support), ways)
        # All tuples of all shots of a class are one set: softmax goes over (K, N).
        scores = torch.einsum("eqnh,ewkmh->eqnwkm", query_keys, keys_EWKNH) / math.sqrt(query_keys.shape[-1])
        if missing_EWK is not None:
            scores = scores.masked_fill(missing_EWK[:, None, None, :, :, None], -torch.inf)
        attention = scores.flatten(-2).softmax(dim=-1)
        rebuilt = torch.einsum("eqnwj,ewjh->eqwnh", attention, values_EWKNH.flatten(2, 3))
        return (query_values[:, :, None] - rebuilt).square().sum(dim=(-2, -1)) / query_values.shape[-2]


def _by_way(parts: Sequence[Tensor], ways: Ways) -> tuple[list[Tensor], Tensor | None]:
    """Tensors (E, S, ...) as (E, W, K, ...); and where there is no such shot (E, W, K), None when none is missing."""
    most = int(ways.counts.max())
    order = ways.position.argsort(dim=1, stable=True)
    starts_EW = ways.counts.cumsum(dim=1) - ways.counts
    places_EWK = starts_EW[:, :, None] + torch.arange(most)
    missing_EWK = torch.arange(most) >= ways.counts[:, :, None]
    # A missing shot reads its way's first one, and is masked afterwards.
    places_EWK = torch.where(missing_EWK, starts_EW[:, :, None], places_EWK)
    shots_EWK = order.gather(1, places_EWK.flatten(1)).view_as(places_EWK)
    device = parts[0].device
    episode = torch.arange(len(order))[:, None, None].to(device, non_blocking=True)
    shots = shots_EWK.to(device, non_blocking=True)
    ragged = missing_EWK.to(device, non_blocking=True) if bool(missing_EWK.any()) else None
    return [part[episode, shots] for part in parts], ragged


@MODELS.register_module()
class TRXMatcher(nn.Module):
    """TRX between queries and the classes of their supports; trained, and never averages features.

    Distances are averages over the tuple sizes. State keys: `transformers.{j}.{k_linear,v_linear,norm_k,norm_v}.*`, j
    counting the sizes.

    Args:
        in_channels: D.
        out_channels: width of keys and values, 1152 in the paper.
        cardinalities: frames of a tuple; pairs and triples in the paper.
        dropout: on frames with their positions, in training; 0.1 in the published code, as `position_scale`.
        position_scale: of the sinusoids that are added to frames.

    Raises:
        ValueError: no cardinalities, repeated ones, or one below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 1152,
        cardinalities: Sequence[int] = (2, 3),
        dropout: float = 0.1,
        position_scale: float = 0.1,
    ) -> None:
        super().__init__()
        if not cardinalities or min(cardinalities) < 1 or len(set(cardinalities)) != len(cardinalities):
            raise ValueError(f"cardinalities must be different numbers of frames above 0, got {list(cardinalities)}")
        self.in_channels = in_channels
        self.transformers = nn.ModuleList(
            CrossTransformer(in_channels, cardinality, out_channels, dropout, position_scale)
            for cardinality in cardinalities
        )

    def forward(self, query: Tensor, support: Tensor, support_label: Tensor) -> Tensor:
        """Distances (E, Q, W); arguments and errors as `FrameMatcher.forward`, but supports do not depend on queries.

        Raises:
            ValueError: also features of another width than `in_channels`, or fewer frames than a tuple has.
        """
        ways = Ways.of(support_label)
        require_clips(query, support, support_label)
        if support.dim() != 4:
            raise ValueError(f"TRX takes one support for all queries, got support of shape {tuple(support.shape)}")
        if query.shape[-1] != self.in_channels:
            raise ValueError(f"features have {query.shape[-1]} channels, but TRXMatcher.in_channels={self.in_channels}")
        with torch.autocast(query.device.type, enabled=False):
            query, support = at_least_float32(query), at_least_float32(support)
            return torch.stack([part(query, support, ways) for part in self.transformers]).mean(0)
