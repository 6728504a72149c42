"""Bad input ends in a sentence that names it: the few-shot classifiers' own list."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from torch.nn.functional import normalize

import clipplus.methods.ape
from clipplus.methods.ape.checks import require_same_classes

APE = dict(type="APEHead", num_channels=5, weights=(0.5, 0.5))
APET = dict(type="APETHead", num_channels=5)
TIP = dict(type="TipAdapterHead")


@pytest.fixture(autouse=True, scope="module")
def _scope() -> None:
    assert clipplus.methods.ape  # registers the heads
    init_default_scope("mmpretrain")


def features(*shape: int) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


LABELS = torch.tensor([0, 1, 2, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(weights=(0.5,)), "weights must be two numbers"),
        (dict(weights=(0.5, 0.2, 0.3)), "weights must be two numbers"),
        (dict(weights=(0.5, -0.1)), r"of at least 0, got \(0.5, -0.1\)"),
        (dict(weights=(float("nan"), 0.5)), r"of at least 0, got \(nan, 0.5\)"),
        (dict(num_channels=0), "num_channels must be a whole number of at least 1 or a fraction"),
        (dict(num_channels=1.5), "fraction in .*, got 1.5"),
        (dict(num_channels=True), "fraction in .*, got True"),
        (dict(criterion_source="texts"), "criterion_source must be 'all' or 'text', got 'texts'"),
        (dict(balance="shots"), "balance must be 'class' or 'pairs', got 'shots'"),
        (dict(logit_scale="tower"), "logit_scale must be a positive number or 'model', got 'tower'"),
        (dict(logit_scale=0), "logit_scale must be a positive number"),
    ],
)
def test_wrong_options_are_refused_when_the_config_is_built(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS.build({**APE, **options})


def test_an_unknown_similarity_is_refused() -> None:
    with pytest.raises(ValueError, match="similarity must be 'full' or 'refined', got 'cut'"):
        MODELS.build({**APET, "similarity": "cut"})


def test_more_channels_than_there_are_are_refused() -> None:
    head = MODELS.build({**APE, "num_channels": 13})
    with pytest.raises(ValueError, match=r"num_channels must lie in 1..12, .* got 13"):
        head.fit(features(3, 12), features(4, 12), LABELS)


@pytest.mark.parametrize("config", [APE, APET, TIP], ids=["ape", "ape-t", "tip"])
class TestFit:
    def test_a_single_class_is_refused(self, config: dict) -> None:
        with pytest.raises(ValueError, match="at least 2 classes, got 1"):
            MODELS.build(config).fit(features(1, 12), features(2, 12), torch.zeros(2, dtype=torch.int64))

    def test_a_class_without_a_key_is_named(self, config: dict) -> None:
        with pytest.raises(ValueError, match=r"2 of 5 classes have no key: 3 'cow', 4 'emu'; each needs a picture"):
            MODELS.build(config).fit(
                features(5, 12), features(4, 12), LABELS, class_names=["ant", "bee", "cat", "cow", "emu"]
            )

    def test_a_label_without_text_is_refused(self, config: dict) -> None:
        with pytest.raises(ValueError, match=r"labels must lie in 0..1, .* got 0..2: do data and text bank"):
            MODELS.build(config).fit(features(2, 12), features(4, 12), LABELS)

    def test_widths_of_two_clips_are_refused(self, config: dict) -> None:
        with pytest.raises(ValueError, match="class texts have 12 channels, but keys 13: image and text tower"):
            MODELS.build(config).fit(features(3, 12), features(4, 13), LABELS)

    @pytest.mark.parametrize(("value", "state"), [(0.0, "zero in all channels"), (float("nan"), "not finite")])
    def test_an_unusable_picture_is_named(self, config: dict, value: float, state: str) -> None:
        keys = features(4, 12)
        keys[2] = value
        with pytest.raises(ValueError, match=rf"the key of 'c.png' is {state} \(1 of 4 rows"):
            MODELS.build(config).fit(features(3, 12), keys, LABELS, key_names=["a.png", "b.png", "c.png", "d.png"])

    def test_an_unusable_text_is_named(self, config: dict) -> None:
        text = features(3, 12)
        text[1] = float("inf")
        with pytest.raises(ValueError, match="the text of 'bee' is not finite"):
            MODELS.build(config).fit(text, features(4, 12), LABELS, class_names=["ant", "bee", "cat"])

    def test_as_many_labels_as_keys_are_needed(self, config: dict) -> None:
        with pytest.raises(ValueError, match=r"4 keys, but labels of shape \(3,\)"):
            MODELS.build(config).fit(features(3, 12), features(4, 12), LABELS[:3])

    def test_an_unfitted_head_says_what_to_run(self, config: dict) -> None:
        with pytest.raises(ValueError, match=r"is not fitted: run tools/train.py with this config first"):
            MODELS.build(config)(features(3, 12))

    def test_features_of_another_tower_are_refused(self, config: dict) -> None:
        head = MODELS.build(config)
        head.fit(features(3, 12), features(4, 12), LABELS)
        with pytest.raises(ValueError, match="features have 13 channels, but the cache was made of 12"):
            head(features(2, 13))

    def test_extending_checks_as_fitting_does(self, config: dict) -> None:
        head = MODELS.build(config)
        with pytest.raises(ValueError, match="is not fitted"):
            head.extend(features(1, 12), LABELS[:1])
        head.fit(features(3, 12), features(4, 12), LABELS)
        with pytest.raises(ValueError, match=r"labels must lie in 0..2"):
            head.extend(features(1, 12), torch.tensor([3]))
        with pytest.raises(ValueError, match="1 of 4 classes have no key: 3"):
            head.extend(features(1, 12), torch.tensor([0]), features(1, 12))
        with pytest.raises(ValueError, match="but keys 11"):
            head.extend(features(1, 11), torch.tensor([0]))
        with pytest.raises(ValueError, match="zero in all channels"):
            head.extend(torch.zeros(1, 12), torch.tensor([0]))


@pytest.mark.parametrize("config", [APE, APET, TIP, dict(type="ZeroShotCacheHead")], ids=lambda config: config["type"])
def test_texts_of_new_classes_are_checked(config: dict) -> None:
    head = MODELS.build(dict(config, num_classes=3))
    head.fit(features(3, 12), features(4, 12), LABELS)
    new = features(1, 12), torch.tensor([3])
    with pytest.raises(ValueError, match="new class texts have 11 channels, but those of the head 12"):
        head.extend(*new, features(1, 11))
    with pytest.raises(ValueError, match="the text of number 0 is not finite"):
        head.extend(*new, features(1, 12) * float("nan"))
    with pytest.raises(ValueError, match="for num_classes=3, but with the new class texts there are 4"):
        head.extend(*new, features(1, 12))
    assert len(head.text_weight) == 3


def test_an_unknown_value_to_choose_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown value 'delta'; known: alpha, beta, gamma"):
        MODELS.build(TIP).choose(delta=1.0)


def test_the_first_class_that_differs_is_named() -> None:
    require_same_classes(["a", "b"], ["a", "b"], "the checkpoint", "the data set")
    with pytest.raises(ValueError, match="class 1 is 'b' in the checkpoint, but 'B' in the data set"):
        require_same_classes(["a", "b"], ["a", "B"], "the checkpoint", "the data set")
    with pytest.raises(ValueError, match="the data set 3: 'c' is in the data set only"):
        require_same_classes(["a", "b"], ["a", "b", "c"], "the checkpoint", "the data set")
