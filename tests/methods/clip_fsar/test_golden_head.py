"""The head and the transformer that configs build, against the published implementation in float64."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor

import clipplus.methods.clip_fsar
from clipplus.few_shot_video import EpisodeDataSample, frame_distances, otam_distance
from clipplus.few_shot_video.ways import Ways, mean_over_shots
from clipplus.methods.clip_fsar.combination import few_shot_log_probability, text_log_probability

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
assert clipplus.methods.clip_fsar  # registers the parts


def close(actual: Tensor, expected: Tensor, what: str, float32: float = 2e-5) -> None:
    """README's tolerances: absolute in float64, relative to the largest value in float32."""
    atol = 1e-9 if actual.dtype == torch.float64 else float32 * (1 + float(expected.abs().max()))
    torch.testing.assert_close(
        actual.detach().double(), expected.double(), rtol=0, atol=atol, msg=lambda text: f"{what}: {text}"
    )


@pytest.mark.golden("clip_fsar", "temporal_transformer")
@DTYPES
def test_clip_fsar_golden_temporal_transformer(golden, dtype) -> None:
    for number, case in enumerate(json.loads(golden.metadata["cases"])):

        def tensor(name: str, case: str = f"case{number}.") -> Tensor:
            return golden[case + name].to(dtype)

        transformer = MODELS.build(
            dict(
                type="TemporalTransformer", dim=case["dim"], depth=case["depth"], heads=case["heads"],
                dim_head=case["dim_head"], hidden=case["mlp_dim"],
            )
        )  # fmt: skip
        transformer = transformer.to(dtype).eval()
        transformer.load_state_dict({key: tensor(f"w.{key}") for key in case["state_keys"]})
        tokens = tensor("x").requires_grad_()
        memory = tensor("kv").requires_grad_() if case["Nk"] else None
        found = transformer(tokens, memory)
        close(found, golden[f"case{number}.y"], "y")
        found.backward(tensor("cotangent"))
        close(tokens.grad, golden[f"case{number}.grad_x"], "grad_x")
        if memory is not None:
            close(memory.grad, golden[f"case{number}.grad_kv"], "grad_kv")
        for key, parameter in transformer.named_parameters():
            if f"case{number}.gw.{key}" in golden:
                close(parameter.grad, golden[f"case{number}.gw.{key}"], f"gradient of {key}")


@dataclass
class Episode:
    """What a head is given; without a batch dimension."""

    query: Tensor
    support: Tensor
    sample: EpisodeDataSample
    train_text: Tensor
    test_text: Tensor

    def batch(self) -> tuple[Tensor, Tensor, list[EpisodeDataSample]]:
        return self.query[None], self.support[None], [self.sample]

    def support_text(self, text: Tensor) -> Tensor:
        return text[self.sample.support_class][None]


def read_episode(golden, dtype: torch.dtype) -> Episode:
    sample = EpisodeDataSample(metainfo=dict(episode_id=0, sample_id=0))
    for side in ("support", "query"):
        sample.set_data(
            {f"{side}_label": golden[f"in.{side}_labels"].long(), f"{side}_class": golden[f"in.{side}_real"].long()}
        )
    query, support = (golden[f"in.{side}_feats"].to(dtype).requires_grad_() for side in ("query", "support"))
    return Episode(query, support, sample, golden["in.text_train"].to(dtype), golden["in.text_test"].to(dtype))


def read_head(golden, dtype: torch.dtype):
    """A head with the switches and weights of a file; dropout is off, as there."""
    config = json.loads(golden.metadata["config"])
    switches = config["opts"]
    head = MODELS.build(
        dict(
            type="CLIPFSARHead", in_channels=config["D"], depth=config.get("depth", 1), heads=config["heads"],
            hidden=config["mlp"], attention_dropout=0.0, dropout=0.0,
            matcher=dict(
                type="OTAMMatcher", smoothing=config["lbda"], eps=config["cos_eps"],
                bidirectional=not switches.get("SINGLE_DIRECT", False),
            ),
            shot_merge="before" if switches.get("MERGE_BEFORE") else "after",
            class_loss_weight=config.get("w", 0.0) if switches.get("USE_CLASSIFICATION") else 0.0,
            text_coefficient=switches.get("TEXT_COFF") or 0.9,
        )
    ).to(dtype)  # fmt: skip
    weights = {
        name.removeprefix("w.").replace("context2.", "temporal_transformer."): golden[name].to(dtype)
        for name in golden.tensors
        if name.startswith("w.")
    }
    state = head.state_dict()
    assert weights.keys() | {"text_coefficient"} == state.keys()
    head.load_state_dict({**state, **weights})
    return head.train(config["train"]), switches


def check_few_shots(golden, head, episode: Episode, text: Tensor) -> None:
    """Everything between features and distances."""
    labels = episode.sample.support_label[None]
    query, support, merged = head.modulate(
        episode.query[None], episode.support[None], labels, episode.support_text(text)
    )
    prototypes = mean_over_shots(support, Ways.of(merged))
    close(query[0], golden["out.query_ctx"], "queries")
    close(prototypes[0], golden["out.proto_ctx"], "prototypes")
    dist = frame_distances(query, prototypes)
    close(dist[0], golden["out.dists"], "distances of frames")
    close(otam_distance(dist, 0.5, bidirectional=False)[0], golden["out.q2s"], "query to support")
    if "out.s2q" in golden:
        close(otam_distance(dist.transpose(-1, -2), 0.5, bidirectional=False)[0], golden["out.s2q"], "support to query")


@pytest.mark.golden("clip_fsar", "head_train")
@DTYPES
def test_clip_fsar_golden_head_in_training(golden, dtype) -> None:
    head, _ = read_head(golden, dtype)
    episode = read_episode(golden, dtype)
    check_few_shots(golden, head, episode, episode.train_text)
    labels = episode.sample.support_label[None]
    text = episode.support_text(episode.train_text)
    close(head(episode.query[None], episode.support[None], labels, text)[0], golden["out.logits"], "logits")
    terms = head.loss(*episode.batch(), class_text=episode.train_text)
    close(terms["loss_few_shot"], golden["out.loss_fewshot"], "few-shot loss")
    if head.class_loss_weight:
        clips = torch.cat([episode.support, episode.query])[None]
        close(head.class_logits(clips, episode.train_text)[0], golden["out.class_logits"], "class logits")
        close(terms["loss_video_text"], golden["out.loss_class"] * head.class_loss_weight, "video-text loss")
    else:
        assert "loss_video_text" not in terms
    close(sum(terms.values()), golden["out.loss_total"], "loss")
    # What four accumulated episodes make of it.
    (sum(terms.values()) / 4).backward()
    close(episode.support.grad, golden["out.grad.support_feats"], "gradient of supports")
    close(episode.query.grad, golden["out.grad.query_feats"], "gradient of queries")
    for name, parameter in head.named_parameters():
        stored = "out.grad." + name.replace("temporal_transformer.", "context2.")
        if stored in golden:
            close(parameter.grad, golden[stored], f"gradient of {name}")
        else:
            assert parameter.grad is None


@pytest.mark.golden("clip_fsar", "head_eval")
@DTYPES
def test_clip_fsar_golden_head_in_evaluation(golden, dtype) -> None:
    head, switches = read_head(golden, dtype)
    episode = read_episode(golden, dtype)
    (sample,) = head.predict(*episode.batch(), class_text=episode.test_text)
    labels, text = episode.sample.support_label[None], episode.support_text(episode.test_text)
    logits = head(episode.query[None], episode.support[None], labels, text)
    way_text = mean_over_shots(text, Ways.of(labels))
    text_log = text_log_probability(episode.query[None], way_text, head.scale)
    if switches.get("EVAL_TEXT"):
        close(text_log.exp()[0], golden["out.logits"], "text probabilities")
        close(sample.text_score, golden["out.logits"].float(), "text scores")
        return
    check_few_shots(golden, head, episode, episode.test_text)
    if not switches.get("COMBINE"):
        close(logits[0], golden["out.logits"], "logits")
        close(sample.pred_score, golden["out.logits"].softmax(-1).float(), "few-shot scores")
        return
    close(text_log.exp()[0], golden["out.p_text"], "text probabilities")
    close(few_shot_log_probability(logits).exp()[0], golden["out.p_fs"], "few-shot probabilities")
    close(sample.fused_score, golden["out.logits"].float(), "combined scores")


def hash_fill(shape: tuple[int, ...], k: int, a: float) -> Tensor:
    """The generator of the full-size files, see their README."""
    mask = np.uint64(0xFFFFFFFF)
    x = (np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(2654435761) + np.uint64(k * 97531 + 12345)) & mask
    for shift, factor in ((16, 2246822519), (13, 3266489917)):
        x ^= x >> np.uint64(shift)
        x = (x * np.uint64(factor)) & mask
    x ^= x >> np.uint64(16)
    values = ((x.astype(np.float64) / 2**32) * 2 - 1) * a
    return torch.from_numpy(values.astype(np.float32)).view(shape)


def full_size_head(metadata: dict[str, str]):
    head = MODELS.build(
        dict(
            type="CLIPFSARHead", in_channels=int(metadata["D"]), heads=int(metadata["heads"]),
            hidden=int(metadata["mlp_dim"]), attention_dropout=0.0, dropout=0.0, class_loss_weight=3.0,
        )
    )  # fmt: skip
    parameters = dict(head.temporal_transformer.named_parameters())
    order = json.loads(metadata["param_order"])
    assert sorted(order) == sorted(parameters)
    assert sum(parameter.numel() for parameter in parameters.values()) == int(metadata["context2_params"])
    with torch.no_grad():
        for j, name in enumerate(order):
            shape = tuple(parameters[name].shape)
            a = 1 / shape[-1] ** 0.5 if len(shape) == 2 else 0.05
            parameters[name].copy_(hash_fill(shape, int(metadata["k0"]) + 10 + j, a))
            if name.endswith("norm.weight"):
                parameters[name].add_(1)
    return head


def full_size_episode(golden) -> Episode:
    width, frames, k0 = (int(golden.metadata[name]) for name in ("D", "T", "k0"))
    sample = EpisodeDataSample(metainfo=dict(episode_id=0, sample_id=0))
    for side in ("support", "query"):
        sample.set_data({f"{side}_label": golden[f"{side}_labels"], f"{side}_class": golden[f"{side}_real"]})
    classes = hash_fill((5, frames, width), k0 + 3, 1)
    clips = [
        classes[label] * 0.6 + hash_fill((len(label), frames, width), k0 + k, 1)
        for label, k in ((sample.query_label, 5), (sample.support_label, 4))
    ]
    texts = [hash_fill((int(golden.metadata[name]), width), k0 + k, 0.8) for name, k in (("Ctr", 1), ("Cte", 2))]
    return Episode(*(clip.requires_grad_() for clip in clips), sample, *texts)


@pytest.mark.golden("clip_fsar", "fullsize")
def test_clip_fsar_golden_full_size(golden) -> None:
    head, episode = full_size_head(golden.metadata).train(), full_size_episode(golden)

    def near(actual: Tensor, name: str) -> None:
        torch.testing.assert_close(actual.detach().float(), golden[name].float(), rtol=0, atol=1e-4)

    labels = episode.sample.support_label[None]
    for part, text in (("train", episode.train_text), ("eval", episode.test_text)):
        head.train(part == "train")
        near(head(episode.query[None], episode.support[None], labels, episode.support_text(text))[0], f"{part}.logits")
    head.train()
    terms = head.loss(*episode.batch(), class_text=episode.train_text)
    near(terms["loss_few_shot"], "train.loss_fewshot")
    near(terms["loss_video_text"] / 3, "train.loss_class")
    total = sum(terms.values()) / 4
    near(total, "train.loss_total_div4")
    clips = torch.cat([episode.support, episode.query])[None]
    near(head.class_logits(clips, episode.train_text)[0], "train.class_logits")
    near(head._through_time(episode.query[None])[0, ..., :6], "train.query_ctx_head")
    total.backward()
    near(head.scale.grad, "train.grad.scale")
    near(episode.query.grad[..., :6], "train.grad_query_head")
    near(episode.support.grad.sum(dim=-1), "train.grad_support_sum")
