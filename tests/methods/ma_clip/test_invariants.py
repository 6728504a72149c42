"""What must hold whatever the weights are."""

from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from clipplus.few_shot_video import EpisodeDataSample


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stirred(module: Any, seed: int = 1) -> Any:
    """The module in float64 with random values in all that trains; nothing is zero any more."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.double().parameters():
        if value.requires_grad:
            value.data = 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return module.eval()


def episode(support: list[int], query: list[int], classes: dict[int, int] | None = None) -> EpisodeDataSample:
    """Labels, and the class of each; by default that of its place among the labels."""
    classes = classes or {label: place for place, label in enumerate(sorted(set(support)))}
    sample = EpisodeDataSample(metainfo=dict(classes=("a", "b", "c"), episode_id=0, sample_id=0))
    sample.support_label, sample.query_label = torch.tensor(support), torch.tensor(query)
    sample.support_class = torch.tensor([classes[label] for label in support])
    sample.query_class = torch.tensor([classes[label] for label in query])
    return sample


@pytest.fixture
def model(tower: Any) -> Any:
    """`model(head=..., neck=..., **adapter)`: a recogniser with texts in place of a text tower."""
    init_default_scope("mmaction")

    def build(head: dict | None = None, neck: dict | None = None, **adapter: Any) -> Any:
        built = MODELS.build(
            dict(
                type="FewShotRecognizer",
                backbone=dict(type="MACLIPVisualBackbone", model=tower(), num_frames=3, adapter=adapter),
                neck=dict(type="TPCM", embed_dim=16, heads=2, ffn_channels=24) | (neck or {}),
                cls_head=dict(type="MACLIPHead") | (head or {}),
                text=dict(type="ClassTextBank", templates=["{}"], average="raw", normalize=False),
            )
        )
        built._texts["a", "b", "c"] = draw(3, 16, seed=7)
        return stirred(built)

    return build


def clips(number: int, seed: int = 3) -> torch.Tensor:
    return draw(1, number, 3, 3, 12, 8, seed=seed)


def scores(built: Any, inputs: torch.Tensor, sample: EpisodeDataSample) -> torch.Tensor:
    with torch.no_grad():
        return built.predict(inputs, [sample])[0].pred_score


@pytest.mark.parametrize("options", [
    dict(temporal_mode="none", use_text_token=False), dict(temporal_mode="all_tokens", use_text_token=False),
    dict(extra_token_gate="zero_init"),
], ids=str)  # fmt: skip
def test_new_adapters_leave_a_tower_of_real_size_as_it_is(options: dict[str, Any]) -> None:
    init_default_scope("mmaction")
    torch.manual_seed(0)
    built = MODELS.build(
        dict(type="MACLIPVisualBackbone", model="ViT-B-32-quickgelu", num_frames=2, adapter=options)
    ).eval()
    frames = torch.randn(1, 2, 3, 224, 224)
    text = None if options.get("use_text_token") is False else torch.randn(1, 512)
    with torch.no_grad():
        plain = built.visual(frames[0])
        torch.testing.assert_close(built(frames)[0], plain, rtol=2e-4, atol=2e-5)
        torch.testing.assert_close(built(frames, text)[0], plain, rtol=2e-4, atol=2e-5)


def test_parameters_of_real_towers_are_those_published() -> None:
    init_default_scope("mmaction")
    published = {"ViT-B-32-quickgelu": 87_849_216, "ViT-B-16-quickgelu": 86_192_640}
    for name, visual in published.items():
        with torch.device("meta"):
            built = MODELS.build(dict(type="MACLIPVisualBackbone", model=name))
        trained = sum(value.numel() for _, value in built.trained_parameters())
        assert (trained, sum(value.numel() for value in built.visual.parameters())) == (15_385_344, visual)
        assert {name for name, value in built.named_parameters() if value.requires_grad} == {
            name for name, _ in built.trained_parameters()
        }


def test_order_of_videos_and_frames_carries_over(backbone: Any) -> None:
    built = stirred(backbone())
    built.temporal_embedding.data.zero_()
    x, text = draw(4, 3, 3, 12, 8), draw(4, 16, seed=1)
    order, frames = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 2, 0])
    with torch.no_grad():
        found = built(x, text)
        torch.testing.assert_close(built(x[order], text[order]), found[order], rtol=0, atol=1e-12)
        torch.testing.assert_close(built(x[:, frames], text), found[:, frames], rtol=0, atol=1e-12)


def test_a_clip_is_seen_alone_and_with_its_own_text_alone(backbone: Any) -> None:
    built = stirred(backbone())
    x, text = draw(3, 3, 3, 12, 8), draw(3, 16, seed=1)
    other = text.clone()
    other[1] += 1
    with torch.no_grad():
        found, changed = built(x, text), built(x, other)
        torch.testing.assert_close(built(x[:1], text[:1]), found[:1], rtol=0, atol=1e-12)
    torch.testing.assert_close(changed[[0, 2]], found[[0, 2]], rtol=0, atol=0)
    assert float((changed[1] - found[1]).abs().max()) > 1e-3


@pytest.mark.parametrize("merge", ["before", "after"])
def test_labels_and_order_of_supports_mean_nothing(model: Any, merge: str) -> None:
    built, inputs = model(neck=dict(shot_merge=merge)), clips(6)
    found = scores(built, inputs, episode([7, 2, 40, 2], [2, 40]))
    assert found.shape == (2, 3)
    torch.testing.assert_close(scores(built, inputs, episode([1, 0, 2, 0], [0, 2])), found)
    order = [3, 0, 1, 2]
    shuffled = torch.cat([inputs[:, order], inputs[:, 4:]], dim=1)
    torch.testing.assert_close(scores(built, shuffled, episode([2, 7, 2, 40], [2, 40])), found)


def test_episodes_of_a_batch_are_predicted_as_alone(model: Any) -> None:
    built = model()
    samples = [episode([0, 1, 2], [0]), episode([2, 0, 1], [1])]
    inputs = torch.cat([clips(4, seed=4), clips(4, seed=5)])
    with torch.no_grad():
        together = [sample.pred_score for sample in built.predict(inputs, samples)]
    for number, sample in enumerate(samples):
        torch.testing.assert_close(scores(built, inputs[number : number + 1], sample), together[number])


def test_merging_before_or_after_is_one_for_one_shot(model: Any) -> None:
    built, inputs, sample = model(), clips(5), episode([1, 0, 2], [0, 2])
    before = scores(built, inputs, sample)
    built.neck.shot_merge = "after"
    torch.testing.assert_close(scores(built, inputs, sample), before)


def test_equal_shots_are_one_shot(model: Any) -> None:
    built, inputs = model(), clips(5)
    doubled = torch.cat([inputs[:, :3], inputs[:, :3], inputs[:, 3:]], dim=1)
    once = scores(built, inputs, episode([1, 0, 2], [0, 2]))
    torch.testing.assert_close(scores(built, doubled, episode([1, 0, 2, 1, 0, 2], [0, 2])), once)


def test_all_clips_equal_leave_the_matcher_undecided(model: Any) -> None:
    built = model(use_text_token=False, head=dict(alpha=0.0), neck=dict(prototype="unimodal"))
    same = clips(1).expand(-1, 5, -1, -1, -1, -1)
    torch.testing.assert_close(scores(built, same, episode([0, 1, 2], [0, 1])), torch.full((2, 3), 1 / 3))


@pytest.mark.parametrize(("alpha", "off"), [(0.0, ("loss_s2t", "loss_q2t")), (1.0, ("loss_q2s",))])
def test_alpha_switches_branches_off(model: Any, alpha: float, off: tuple[str, ...]) -> None:
    terms = model(head=dict(alpha=alpha)).loss(clips(5), [episode([0, 1, 2], [0, 2])])
    assert {name for name, value in terms.items() if float(value.detach()) == 0} == set(off)


def test_the_queries_texts_do_not_reach_the_projection_of_texts(model: Any) -> None:
    built = model()
    built.loss(clips(5), [episode([0, 1, 2], [0, 2])])["loss_q2t"].backward()
    for adapters in built.backbone.adapters.values():
        assert adapters.text_fc.weight.grad is None
        assert float(adapters.j_adapter.up.weight.grad.abs().max()) > 0


@pytest.mark.parametrize("options", [
    dict(), dict(extra_token_gate="zero_init"), dict(temporal_mode="all_tokens"), dict(temporal_mode="none"),
    dict(num_temporal_adapters=2), dict(share_text_fc=True), dict(adapter_layers=[1]), dict(use_text_token=False),
    dict(temporal_embedding=False), dict(normalize_text=True), dict(drop_path=0.1),
], ids=str)  # fmt: skip
def test_all_that_trains_gets_a_gradient_and_nothing_else_moves(
    model: Any, tower: Any, options: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    built = model(**options)
    fresh = MODELS.build(dict(type="MACLIPVisualBackbone", model=tower(), num_frames=3, adapter=options)).double()
    built.backbone = fresh
    built.train()
    before = {name: value.clone() for name, value in built.named_parameters()}
    optimizer = torch.optim.SGD([value for value in built.parameters() if value.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        sum(built.loss(clips(5), [episode([0, 1, 2], [0, 2])]).values()).backward()
        # What DDP needs to do without a search for unused parameters.
        assert all(value.grad is not None for value in built.parameters() if value.requires_grad)
        optimizer.step()
    for name, value in built.named_parameters():
        if name.startswith("backbone.visual."):
            assert not value.requires_grad
            assert torch.equal(value, before[name]), name
        else:
            assert float(value.grad.abs().max()) > 0, name


def test_recomputed_blocks_give_the_same_gradients(backbone: Any) -> None:
    built = stirred(backbone()).train()
    gradients = []
    for recompute in (False, True):
        built.grad_checkpointing = recompute
        built.zero_grad()
        built(draw(2, 3, 3, 12, 8), draw(2, 16, seed=1)).square().sum().backward()
        gradients.append({name: value.grad.clone() for name, value in built.trained_parameters()})
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-9, atol=1e-12)


def test_stretched_temporal_embedding_takes_other_lengths(backbone: Any) -> None:
    built = stirred(backbone())
    built.interpolate_frames = True
    built.temporal_embedding.data.fill_(0.5)
    assert built(draw(2, 5, 3, 12, 8)).shape == (2, 5, 16)
    torch.testing.assert_close(built._time(5), torch.full((1, 5, 24), 0.5, dtype=torch.float64))
