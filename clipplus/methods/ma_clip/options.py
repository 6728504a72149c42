"""What can be chosen about the adapters of a tower; defaults are the paper's where it states them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from clipplus.did_you_mean import did_you_mean

TemporalMode = Literal["cls_token", "all_tokens", "none"]
Gate = Literal["none", "zero_init"]


@dataclass(frozen=True)
class AdapterOptions:
    """Options of `MACLIPVisualBackbone.adapter`.

    Attributes:
        ratio: hidden width of an adapter over the tower's width (0.25: AIM, and the published parameter counts).
        temporal_mode: what attends over time: 'cls_token' (the paper; its result is an additional token), 'all_tokens'
            (AIM: every token, updated in place), or 'none'.
        num_temporal_adapters: 1, or 2 with an adapter before the temporal attention as well (AIM on SSv2).
        use_text_token: supports get the text of their class as a token in every adapted block.
        joint_scale: factor of the adapter beside the MLP: 0.5 in AIM on Kinetics, 1 on SSv2.
        extra_token_gate: 'none' (the paper), or 'zero_init': additional tokens have a softmax of their own behind a
            gate per head that starts closed, so that training starts from plain CLIP.
        temporal_embedding: a trained vector per frame, zero at the start, added to all its tokens.
        adapter_layers: 'all', or the numbers of the blocks that are adapted.
        share_text_fc: one projection of the text for all blocks instead of one each.
        normalize_text: divide texts by their length before they become tokens.
        drop_path: rate of dropping the temporal and the joint adapter of the last block for a clip in training; falls
            linearly to 0 at the first block (AIM: 0 to 0.2).
    """

    ratio: float = 0.25
    temporal_mode: TemporalMode = "cls_token"
    num_temporal_adapters: int = 1
    use_text_token: bool = True
    joint_scale: float = 0.5
    extra_token_gate: Gate = "none"
    temporal_embedding: bool = True
    adapter_layers: Literal["all"] | Sequence[int] = "all"
    share_text_fc: bool = False
    normalize_text: bool = False
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("temporal_mode", self.temporal_mode, get_args(TemporalMode)),
            ("extra_token_gate", self.extra_token_gate, get_args(Gate)),
            ("num_temporal_adapters", self.num_temporal_adapters, (1, 2)),
        ):
            if value not in known:
                raise ValueError(f"adapter.{name} must be one of {', '.join(map(str, known))}, got {value!r}")
        if self.num_temporal_adapters == 2 and self.temporal_mode == "none":
            raise ValueError("adapter.num_temporal_adapters=2 has no effect with temporal_mode='none'")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"adapter.drop_path must be at least 0 and below 1, got {self.drop_path}")

    @classmethod
    def of(cls, options: dict[str, Any] | None) -> "AdapterOptions":
        """Options of a config.

        Raises:
            ValueError: an unknown one, or a value that is not allowed.
        """
        known = [field.name for field in fields(cls)]
        for name in options or {}:
            if name not in known:
                raise ValueError(f"unknown option adapter.{name}; known: {', '.join(known)}{did_you_mean(name, known)}")
        return cls(**(options or {}))

    def layers(self, depth: int) -> list[int]:
        """Numbers of the adapted blocks of a tower with `depth` of them, ascending.

        Raises:
            ValueError: none, one twice, or one that the tower does not have.
        """
        if self.adapter_layers == "all":
            return list(range(depth))
        chosen = sorted(int(layer) for layer in self.adapter_layers)
        if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= layer < depth for layer in chosen):
            raise ValueError(
                f"adapter.adapter_layers must be different blocks of 0..{depth - 1}, got {self.adapter_layers}"
            )
        return chosen
