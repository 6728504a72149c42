"""Modules and whole episodes against the independent float64 reference."""

import math
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import nn

from clipplus.few_shot_video import EpisodeDataSample
from clipplus.methods.ma_clip import TPCM, Adapter, AdapterOptions, BlockAdapters, class_divergence
from clipplus.methods.ma_clip.attention import project_all
from clipplus.methods.ma_clip.losses import mixture

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
ACTIVATIONS = {"quick_gelu": QuickGELU, "gelu": nn.GELU}
MATCHERS = {"otam": "OTAMMatcher", "bimhm": "BiMHMMatcher"}


def below(golden: Any, prefix: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    found = {name: value for name, value in golden.tensors.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): value.to(dtype) for name, value in found.items()}


def leaf(golden: Any, name: str, dtype: torch.dtype) -> torch.Tensor:
    return golden[name].clone().to(dtype).requires_grad_()


def check_gradients(golden: Any, found: dict[str, torch.Tensor], close: Any) -> None:
    stored = {name.removeprefix("grad.") for name in golden.tensors if name.startswith("grad.")}
    assert stored <= set(found), f"not computed: {sorted(stored - set(found))}"
    for name in sorted(stored):
        gradient = found[name].grad
        assert gradient is not None, name
        close(gradient, golden[f"grad.{name}"], f"gradient of {name}", gradient=True)


@DTYPES
@pytest.mark.golden("ma_clip", "adapter")
def test_golden_ma_clip_adapter(golden, dtype, settings, fill, close):
    config, x = settings(golden), leaf(golden, "x", dtype)
    adapter = Adapter(x.shape[-1], config["ratio"], config["skip"]).to(dtype)
    assert adapter.down.out_features == config["hidden"]
    fill(adapter, below(golden, "w.ad.", dtype))
    result = adapter(x)
    close(result, golden["out.y"], "y")
    (result * golden["cot"].to(dtype)).sum().backward()
    named = {f"ad.{name}": value for name, value in adapter.named_parameters()}
    check_gradients(golden, {"x": x, **named}, close)


@DTYPES
@pytest.mark.golden("ma_clip", "block")
def test_golden_ma_clip_block(golden, dtype, settings, adapter_options, fill, close):
    config, x = settings(golden), leaf(golden, "x", dtype)
    block = ResidualAttentionBlock(x.shape[-1], config["heads"], act_layer=ACTIVATIONS[config["act"]]).to(dtype)
    fill(block, below(golden, "frozen.", dtype))
    weights = below(golden, "a.", dtype)
    text_width = weights["text_fc.weight"].shape[1]
    options = AdapterOptions.of(adapter_options(config))
    adapters = BlockAdapters(x.shape[-1], config["heads"], options, text_width).to(dtype)
    fill(adapters, weights)
    leaves = {"x": x, **dict(adapters.named_parameters())}
    token = None
    if "text" in golden:
        leaves["text"] = leaf(golden, "text", dtype)
        token = adapters.text_fc(leaves["text"])
    result = adapters(block.requires_grad_(False), x, token)
    close(result, golden["out.out"], "out")
    (result * golden["cot"].to(dtype)).sum().backward()
    if token is None:
        del leaves["text_fc.weight"], leaves["text_fc.bias"]
    check_gradients(golden, leaves, close)


@DTYPES
@pytest.mark.golden("ma_clip", "block")
def test_golden_ma_clip_steps_of_a_block(golden, dtype, settings, adapter_options, fill, close):
    config, x = settings(golden), golden["x"].to(dtype)
    block = ResidualAttentionBlock(x.shape[-1], config["heads"], act_layer=ACTIVATIONS[config["act"]]).to(dtype)
    fill(block, below(golden, "frozen.", dtype))
    weights = below(golden, "a.", dtype)
    options = AdapterOptions.of(adapter_options(config))
    adapters = BlockAdapters(x.shape[-1], config["heads"], options, weights["text_fc.weight"].shape[1]).to(dtype)
    fill(adapters, weights)
    if config["temporal_mode"] == "all_tokens":
        x = adapters.over_time(block, x)
        close(x, golden["out.t_out"], "t_out")
    else:
        projected = project_all(block.attn, block.ln_1(x))
        close(adapters.class_over_time(block, x[:, :, 0], projected), golden["out.t_out"], "t_out")
    if "text" in golden:
        token = adapters.text_fc(golden["text"].to(dtype))
        stored = golden["out.text_token"]
        close(token.reshape(-1), stored.reshape(len(token), -1, token.shape[-1])[:, 0].reshape(-1), "text_token")
    extras = golden["out.tokens"].to(dtype)[:, :, x.shape[2] :]
    found = adapters.over_tokens(block, x, project_all(block.attn, block.ln_1(x)), extras if extras.numel() else None)
    close(found, golden["out.selected"], "selected")
    normed = block.ln_2(golden["out.selected"].to(dtype))
    close(block.mlp(normed), golden["out.mlp"], "mlp")
    close(adapters.j_adapter(normed), golden["out.joint"], "joint")


@DTYPES
@pytest.mark.golden("ma_clip", "tpcm")
def test_golden_ma_clip_tpcm(golden, dtype, settings, fill, close):
    config, video = settings(golden), leaf(golden, "video", dtype)
    module = TPCM(video.shape[-1], config["tpcm_heads"], config["tpcm_ffn"], config["tpcm_norm"]).to(dtype).eval()
    weights = below(golden, "w.tpcm.", dtype)
    unused = () if config["tpcm_norm"] == "pre" else ("norm.weight", "norm.bias")
    fill(module, {name: value for name, value in weights.items() if name not in unused})
    leaves = {"video": video, **{f"tpcm.{name}": value for name, value in module.named_parameters()}}
    text = None
    if "text" in golden:
        text = leaves["text"] = leaf(golden, "text", dtype)
    result = module.refine(video, text)
    close(result, golden["out.y"], "y")
    (result * golden["cot"].to(dtype)).sum().backward()
    check_gradients(golden, leaves, close)


def recognizer(config: dict[str, Any], tower: dict[str, Any], adapter: dict[str, Any]) -> Any:
    """As a config would build it; the fixture's texts are put in place of a text tower's."""
    init_default_scope("mmaction")
    matcher = dict(type=MATCHERS[config["metric"]], eps=config["cos_eps"])
    if config["metric"] == "otam":
        matcher |= dict(smoothing=config["otam_lambda"], bidirectional=config["otam_bidirectional"])
    model = MODELS.build(
        dict(
            type="FewShotRecognizer",
            backbone=dict(
                type="MACLIPVisualBackbone", model=tower, num_frames=config["frames"], adapter=adapter
            ),
            neck=dict(
                type="TPCM", embed_dim=config["embed"], heads=config["tpcm_heads"], ffn_channels=config["tpcm_ffn"],
                norm=config["tpcm_norm"], shot_merge=config["shot_merge"],
            ),
            cls_head=dict(type="MACLIPHead", matcher=matcher, alpha=config["alpha"], scale=config["logit_scale"]),
            text=dict(type="ClassTextBank", templates=["{}"], average="raw", normalize=False),
        )
    )  # fmt: skip
    return model.eval()


def episode(golden: Any) -> EpisodeDataSample:
    labels = golden["support_labels"]
    ways = labels.unique().tolist()
    queries = golden["query_labels"]
    sample = EpisodeDataSample(metainfo=dict(classes=tuple(map(str, ways)), episode_id=0, sample_id=0))
    sample.support_label, sample.query_label = labels, queries
    sample.support_class = torch.tensor([ways.index(label) for label in labels.tolist()])
    sample.query_class = torch.tensor([ways.index(label) for label in queries.tolist()])
    return sample


@DTYPES
@pytest.mark.golden("ma_clip", "episode")
def test_golden_ma_clip_episode(golden, dtype, settings, tower, adapter_options, fill, close):
    config, sample = settings(golden), episode(golden)
    text = leaf(golden, "class_text", dtype)
    model = recognizer(config, tower(**config), adapter_options(config)).to(dtype)
    trained = {
        f"neck.{name.removeprefix('tpcm.')}" if name.startswith("tpcm.") else f"backbone.{name}": value
        for name, value in below(golden, "a.", dtype).items()
    }
    frozen = {f"backbone.visual.{name}": value for name, value in below(golden, "frozen.", dtype).items()}
    fill(model, {**trained, **frozen})
    model._texts[tuple(sample.classes)] = text
    support, query = golden["support"].to(dtype), golden["query"].to(dtype)
    inputs = torch.cat([support, query])[None]

    found_query, found_support = model.extract_feat(inputs, [sample])
    close(found_query[0], golden["out.query_feat"], "query_feat")
    close(found_support[0], golden["out.support_feat"], "support_feat")
    refined_query, refined_support = model.refine(found_query, found_support, [sample])
    close(refined_query[0], golden["out.query_tpcm"], "query_tpcm")
    label = sample.support_label[None]
    close(
        model.cls_head.matcher.between_frames(refined_query, refined_support, label)[0],
        golden["out.frame_dist"],
        "frame_dist",
    )
    close(-model.cls_head(refined_query, refined_support, label)[0], golden["out.dist"], "dist")
    close(model.cls_head.text_logits(found_query, text[None])[0], golden["out.logits_q2t"], "logits_q2t")
    close(model.cls_head.text_logits(found_support, text[None])[0], golden["out.logits_s2t"], "logits_s2t")

    terms = model.loss(inputs, [sample])
    alpha = config["alpha"]
    for name, weight in (("s2t", alpha / 2), ("q2t", alpha / 2), ("q2s", 1 - alpha)):
        close(terms[f"loss_{name}"], weight * golden[f"out.L_{name}"], name)
    loss = sum(terms.values())
    close(loss, golden["out.loss"], "loss")
    loss.backward()
    named = dict(model.named_parameters())
    computed = {
        name.removeprefix("a."): named[
            f"neck.{name.removeprefix('a.tpcm.')}"
            if name.startswith("a.tpcm.")
            else f"backbone.{name.removeprefix('a.')}"
        ]
        for name in golden.tensors
        if name.startswith("a.")
    }
    check_gradients(golden, {**computed, "class_text": text}, close)

    (predicted,) = model.predict(inputs, [sample])
    for field, name in (("pred_score", "prob"), ("text_score", "p_q2t"), ("match_score", "p_q2s")):
        torch.testing.assert_close(
            getattr(predicted, field).double(), golden[f"out.{name}"].double(), rtol=2e-4, atol=2e-5
        )
    assert predicted.pred_score.argmax(dim=1).tolist() == golden["out.pred"].tolist()


@DTYPES
@pytest.mark.golden("ma_clip", "loss")
def test_golden_ma_clip_loss(golden, dtype, settings, close):
    for name, sharpness in (("onehot", None), ("sharp10", 10)):
        for reduction in ("batchmean", "actionclip"):
            logits = leaf(golden, "logits", dtype)
            value = class_divergence(logits, golden["labels"], sharpness, reduction)
            close(value, golden[f"out.kl_{name}_{reduction}"], f"{name} {reduction}")
            value.backward()
            close(logits.grad, golden[f"grad.kl_{name}_{reduction}"], f"gradient, {name} {reduction}", gradient=True)
    for alpha in settings(golden)["alphas"]:
        found = mixture(golden["logits"].to(dtype), -golden["dist"].to(dtype), alpha)
        close(found, golden[f"out.prob_alpha{alpha:g}"], f"mixture at {alpha}")
    assert math.isclose(
        float(class_divergence(golden["logits"], golden["labels"])), float(golden["out.cross_entropy"]), abs_tol=1e-9
    )


@DTYPES
@pytest.mark.golden("ma_clip", "identity")
def test_golden_ma_clip_identity_at_init(golden, dtype, settings, backbone, close):
    config, frames = settings(golden), golden["frames"].to(dtype)
    text = golden["text"].to(dtype)
    frozen = {f"visual.{name}": value for name, value in below(golden, "frozen.", dtype).items()}
    plain = golden["open_clip_out"].reshape(*frames.shape[:2], -1)

    def built(**adapter: Any) -> Any:
        tower = backbone(config, **adapter).to(dtype)
        trained = {k: v for k, v in below(golden, "a.", dtype).items() if k in tower.state_dict()}
        tower.load_state_dict({**tower.state_dict(), **trained, **frozen})
        return tower

    close(built(temporal_mode="none", use_text_token=False)(frames), plain, "no additional tokens")
    close(built(temporal_mode="all_tokens", use_text_token=False)(frames), plain, "all tokens")
    gated = built(extra_token_gate="zero_init")
    close(gated(frames), plain, "gated query")
    close(gated(frames, text), plain, "gated support")
    paper = built()
    for found, name in ((paper(frames), "out.faithful_query"), (paper(frames, text), "out.faithful_support")):
        close(found, golden[name].reshape(plain.shape), name)
        assert float((found.detach() - plain.to(dtype)).abs().max()) > 1e-3


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


@pytest.mark.golden("ma_clip", "counts")
def test_golden_ma_clip_parameter_counts(golden, settings):
    config = settings(golden)
    for name, (width, embed, layers, frames) in config["models"].items():
        with torch.device("meta"):
            adapters = BlockAdapters(width, 1, AdapterOptions(), embed)
            neck = TPCM(embed, heads=1)
        in_tower = layers * count(adapters) + frames * width
        found = [
            count(adapters.t_adapter), count(adapters.text_fc), frames * width, count(neck), in_tower,
            in_tower + count(neck),
        ]  # fmt: skip
        assert dict(zip(config["columns"], found, strict=True)) == dict(
            zip(config["columns"], golden[f"out.{name}"].tolist(), strict=True)
        ), name
