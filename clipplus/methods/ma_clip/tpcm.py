"""Text-guided construction of prototypes: frames of supports and queries behind one transformer layer.

Figure 4 of MA-CLIP (arXiv 2308.01532); norms and dropout from CLIP-FSAR's code (arXiv 2303.02982). Shape letters of
this file: E episodes, V clips, S supports, Q queries, W ways, T frames, N and M tokens, D joint width, C classes.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmaction.registry import MODELS
from torch import Tensor, nn

from clipplus.few_shot_video import EpisodeDataSample, Ways
from clipplus.few_shot_video.distances import at_least_float32
from clipplus.few_shot_video.ways import mean_over_shots
from clipplus.methods.ma_clip.attention import attend
from clipplus.methods.ma_clip.texts import support_texts

Prototype = Literal["tpcm", "unimodal", "concat_self_attn"]
ShotMerge = Literal["before", "after"]


@MODELS.register_module()
class TPCM(nn.Module):
    """Frames attend to frames; those of supports get the text of their class, too.

    One set of weights serves supports and queries. State-dict keys: `norm`, `to_q`, `to_k`, `to_v`, `to_out`, `ffn.0`,
    `ffn.1`.

    Args:
        embed_dim: D, of the features and the class texts.
        heads: 8.
        ffn_channels: hidden width, 2048 for every D (published parameter counts).
        norm: 'pre' normalises what queries, keys and values are made of; 'none' as figure 4 is drawn.
        drop_attn: dropout after the attention's projection (CLIP-FSAR: 0.2).
        drop_ffn: dropout after the GELU and after the second linear layer (CLIP-FSAR: 0.05).
        shot_merge: 'before' averages the clips of a class first, 'after' leaves that to the matcher. Equal for
            one shot.
        prototype: how the text takes part: 'tpcm' adds it to the frames and shows it as a key; 'concat_self_attn' makes
            it a token more, which is left out again (CLIP-FSAR); 'unimodal' leaves it out (table 6). Without any
            module (tables 3 and 4) leave the neck out.
        normalize_text: divide texts by their length.

    Raises:
        ValueError: options outside of these; a width that the heads do not divide.
    """

    def __init__(
        self,
        embed_dim: int,
        heads: int = 8,
        ffn_channels: int = 2048,
        norm: Literal["pre", "none"] = "pre",
        drop_attn: float = 0.2,
        drop_ffn: float = 0.05,
        shot_merge: ShotMerge = "before",
        prototype: Prototype = "tpcm",
        normalize_text: bool = False,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("norm", norm, ("pre", "none")),
            ("shot_merge", shot_merge, get_args(ShotMerge)),
            ("prototype", prototype, get_args(Prototype)),
        ):
            if value not in known:
                raise ValueError(f"TPCM.{name} must be one of {', '.join(known)}, got {value!r}")
        if heads < 1 or embed_dim % heads:
            raise ValueError(f"TPCM.heads={heads} must divide embed_dim={embed_dim}")
        self.heads, self.shot_merge, self.prototype, self.normalize_text = heads, shot_merge, prototype, normalize_text
        self.drop_attn, self.drop_ffn = nn.Dropout(drop_attn), nn.Dropout(drop_ffn)
        self.needs_text = prototype != "unimodal"
        self.norm = nn.LayerNorm(embed_dim) if norm == "pre" else nn.Identity()
        self.to_q, self.to_k, self.to_v = (nn.Linear(embed_dim, embed_dim, bias=False) for _ in range(3))
        self.to_out = nn.Linear(embed_dim, embed_dim)
        self.ffn = nn.ModuleList([nn.Linear(embed_dim, ffn_channels), nn.Linear(ffn_channels, embed_dim)])

    def forward(
        self,
        query: Tensor,
        support: Tensor,
        data_samples: Sequence[EpisodeDataSample],
        class_text: Float[Tensor, "C D"] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Refined queries (E, Q, T, D) and supports (E, S, T, D).

        With `shot_merge='before'` all supports of a class are its one prototype.

        Args:
            query: (E, Q, T, D), the backbone's.
            support: (E, S, T, D).
            data_samples: E of them.
            class_text: (C, D), row = class id of the split.
        """
        ways = Ways.of(torch.stack([sample.support_label for sample in data_samples]))
        text = support_texts(class_text, data_samples, support) if class_text is not None else None
        if self.normalize_text and text is not None:
            text = F.normalize(text, dim=-1)
        if self.shot_merge == "before":
            support = mean_over_shots(at_least_float32(support), ways)
            text = None if text is None else mean_over_shots(text, ways)
        prototypes = self.refine(support.flatten(0, 1), None if text is None else text.flatten(0, 1))
        prototypes = prototypes.unflatten(0, support.shape[:2])
        if self.shot_merge == "before":
            column = ways.position.to(prototypes.device, non_blocking=True)[:, :, None, None]
            prototypes = prototypes.gather(1, column.expand(-1, -1, *prototypes.shape[2:]))
        return self.refine(query.flatten(0, 1)).unflatten(0, query.shape[:2]), prototypes

    def refine(self, clips: Float[Tensor, "V T D"], text: Float[Tensor, "V D"] | None = None) -> Float[Tensor, "V T D"]:
        """Clips (V, T, D) behind the layer, with the texts (V, D) of supports."""
        if text is None or self.prototype == "unimodal":
            return self.layer(clips, clips)
        text = text[:, None].to(clips.dtype)
        if self.prototype == "concat_self_attn":
            tokens = torch.cat([clips, text], dim=1)
            return self.layer(tokens, tokens)[:, : clips.shape[1]]
        return self.layer(clips + text, torch.cat([text, clips], dim=1))

    def layer(self, tokens: Float[Tensor, "V N D"], seen: Float[Tensor, "V M D"]) -> Float[Tensor, "V N D"]:
        """Tokens (V, N, D) after attention to what is seen (V, M, D), and an MLP; the residuals are not normalised."""
        seen = self.norm(seen)
        attended = self.to_out(attend(self.to_q(self.norm(tokens)), self.to_k(seen), self.to_v(seen), self.heads))
        tokens = tokens + self.drop_attn(attended)
        hidden = self.drop_ffn(F.gelu(self.ffn[0](tokens)))
        return tokens + self.drop_ffn(self.ffn[1](hidden))
