"""The matchers that configs build, against the published numbers; tolerances are those of the files' READMEs."""

import json

import pytest
import torch
from mmengine.registry import MODELS

from clipplus.few_shot_video import eps_cosine, frame_distances

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def build(name, **options):
    return MODELS.build(dict(type=name, **options)).eval()


def assert_clip_fsar(actual, expected, what):
    atol = 1e-9 if actual.dtype == torch.float64 else 2e-5 * (1 + float(expected.abs().max()))
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=atol, msg=lambda text: f"{what}: {text}")


def assert_ma_clip(actual, expected):
    exact = actual.dtype == torch.float64
    torch.testing.assert_close(actual.double(), expected, rtol=0 if exact else 2e-4, atol=1e-9 if exact else 2e-5)


#: Names of the file's logits: the matcher, and which supports it is given. Logits are minus the distances.
LOGITS = {
    "otam_baseline": ("OTAMMatcher", dict(smoothing=0.1, shots="distance_mean"), "support"),
    "meanpool_cos": ("MeanPoolMatcher", dict(measure="cosine"), "support"),
    "protonet_sq": ("MeanPoolMatcher", dict(measure="squared_euclidean"), "support"),
    "bimhm_hyrsm_1shot": ("BiMHMMatcher", dict(similarity="l2", shots="distance_mean"), "support_per_query"),
    "bimhm_hyrsm_5shot": ("BiMHMMatcher", dict(similarity="l2"), "proto_per_query"),
}


@pytest.mark.golden("clip_fsar", "metrics")
@DTYPES
@pytest.mark.parametrize("name", LOGITS)
def test_clip_fsar_golden_metrics_logits(golden, dtype, name):
    kind, options, supports = LOGITS[name]
    for number, _ in enumerate(json.loads(golden.metadata["cases"])):
        query, support, labels = (golden[f"case{number}.{part}"] for part in ("query", supports, "labels"))
        if supports == "proto_per_query":
            labels = torch.arange(support.shape[1])
        distance = build(kind, **options)(query[None].to(dtype), support[None].to(dtype), labels[None])
        assert_clip_fsar(-distance[0], golden[f"case{number}.{name}.logits"], f"case {number}")


@pytest.mark.golden("clip_fsar", "metrics")
@DTYPES
def test_clip_fsar_golden_metrics_frames_and_clips(golden, dtype):
    for number, _ in enumerate(json.loads(golden.metadata["cases"])):
        query, support = (golden[f"case{number}.{part}"].to(dtype) for part in ("query", "support"))
        cosines = eps_cosine(query.flatten(0, 1), support.flatten(0, 1), 0.01)
        assert_clip_fsar(cosines, golden[f"case{number}.cos_sim"], "cos_sim")
        dist = frame_distances(query[None], support[None])[0]
        assert_clip_fsar(dist, golden[f"case{number}.dists"], "dists")
        both, there = build("BiMHMMatcher"), build("BiMHMMatcher", bidirectional=False)
        assert_clip_fsar(both.clip_distance(dist), golden[f"case{number}.bimhm"], "bimhm")
        assert_clip_fsar(there.clip_distance(dist), golden[f"case{number}.bimhm_q2s"], "bimhm_q2s")
        back = there.clip_distance(dist.transpose(-1, -2))
        assert_clip_fsar(back, golden[f"case{number}.bimhm_s2q"], "bimhm_s2q")


@pytest.mark.golden("clip_fsar", "trx")
@DTYPES
def test_clip_fsar_golden_trx(golden, dtype):
    for number, case in enumerate(json.loads(golden.metadata["cases"])):
        prefix = f"case{number}."
        matcher = build(
            "TRXMatcher", in_channels=case["D"], out_channels=case["out_dim"], cardinalities=case["cardinalities"],
            position_scale=case["pe_scale"],
        ).to(dtype)  # fmt: skip
        weights = prefix + "w."
        matcher.load_state_dict(
            {name.removeprefix(weights): value for name, value in golden.tensors.items() if name.startswith(weights)}
        )
        query, support = (golden[prefix + part].to(dtype)[None].requires_grad_() for part in ("query", "support"))
        labels = golden[prefix + "labels"][None]
        logits = -matcher(query, support, labels)[0]
        assert_clip_fsar(logits, golden[prefix + "logits"], f"case {number}")
        for cardinality, part in zip(case["cardinalities"], matcher.transformers, strict=True):
            alone = build(
                "TRXMatcher", in_channels=case["D"], out_channels=case["out_dim"], cardinalities=[cardinality],
                position_scale=case["pe_scale"],
            ).to(dtype)  # fmt: skip
            alone.transformers[0].load_state_dict(part.state_dict())
            assert_clip_fsar(
                -alone(query, support, labels)[0],
                golden[f"{prefix}logits_card{cardinality}"],
                f"tuples of {cardinality}",
            )
        gradients = torch.autograd.grad((logits * golden[prefix + "cotangent"].to(dtype)).sum(), [query, support])
        for part, gradient in zip(("query", "support"), gradients, strict=True):
            assert_clip_fsar(gradient[0], golden[f"{prefix}grad_{part}"], f"case {number} gradient of {part}")


@pytest.mark.golden("ma_clip", "metric")
@DTYPES
def test_ma_clip_golden_metric_bimhm(golden, dtype):
    dist = golden["dist"].to(dtype).requires_grad_()
    result = build("BiMHMMatcher").clip_distance(dist)
    assert_ma_clip(result, golden["out.bimhm"])
    (gradient,) = torch.autograd.grad((result * golden["cot"].to(dtype)).sum(), dist)
    assert_ma_clip(gradient, golden["grad.bimhm"])


@pytest.mark.golden("ma_clip", "feat_metric")
@DTYPES
def test_ma_clip_golden_feat_metric_frame_matchers(golden, dtype):
    config = json.loads(golden.metadata["config"])
    query, support = golden["query"].to(dtype)[None], golden["support"].to(dtype)[None]
    labels = golden["labels"][None]
    prototypes, ways = golden["proto"].to(dtype)[None], torch.arange(config["n_way"])[None]
    assert_ma_clip(frame_distances(query, prototypes, config["cos_eps"])[0], golden["out.frame_dist"])
    for name, matcher in (
        ("otam", build("OTAMMatcher", smoothing=config["lam"], eps=config["cos_eps"])),
        ("bimhm", build("BiMHMMatcher", eps=config["cos_eps"])),
    ):
        assert_ma_clip(matcher(query, prototypes, ways)[0], golden[f"out.{name}"])
        assert_ma_clip(matcher(query, support, labels)[0], golden[f"out.{name}"])


#: The file's names of a transformer's parts, and the published ones.
PARTS = {"k": "k_linear", "v": "v_linear", "norm_k": "norm_k"}


@pytest.mark.golden("ma_clip", "feat_metric")
@DTYPES
def test_ma_clip_golden_feat_metric_trx(golden, dtype):
    sizes = json.loads(golden.metadata["config"])["sizes"]
    query, support = golden["query"].to(dtype)[None], golden["support"].to(dtype)[None]
    state = {}
    for number, size in enumerate(sizes):
        for theirs, ours in PARTS.items():
            for kind in ("weight", "bias"):
                state[f"transformers.{number}.{ours}.{kind}"] = golden[f"w.trx.{size}.{theirs}.{kind}"]
    width = len(state["transformers.0.norm_k.bias"])
    matcher = build("TRXMatcher", in_channels=query.shape[-1], out_channels=width, cardinalities=sizes).to(dtype)
    missing = matcher.load_state_dict(state, strict=False)
    assert all(".norm_v." in key for key in missing.missing_keys)
    assert missing.unexpected_keys == []
    assert_ma_clip(matcher(query, support, golden["labels"][None])[0], golden["out.trx"])
