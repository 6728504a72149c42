"""Class texts are no weights: a checkpoint says which ones its weights knew."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import BaseLoop

from clipplus.engine import CheckpointContractHook

Configure = Callable[..., dict[str, Any]]


class Loop(BaseLoop):
    """A training loop as far as its data are concerned."""

    def __init__(self, dataset: Any) -> None:
        self.dataloader = SimpleNamespace(dataset=dataset)

    def run(self) -> None:
        pass


@pytest.fixture
def run(model_config: Configure, text_config: dict[str, Any], episodes_config: Configure) -> Callable[..., Any]:
    """`run(split, **text)`: what a hook sees of a training on the classes of this split; None for a test."""

    def build(split: str | None = "train", with_text: bool = True, **text: Any) -> Any:
        model = MODELS.build(model_config(text=text_config | text if with_text else None))
        loop = None if split is None else Loop(DATASETS.build(episodes_config(split)))
        config = SimpleNamespace(model=SimpleNamespace(to_dict=dict), to_dict=dict)
        return SimpleNamespace(
            model=model, _train_loop=loop, cfg=config, _load_from="a.pth", _resume=False, hooks=[], seed=0
        )

    return build


@pytest.fixture
def warnings_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Any], list[str]]:
    """`warnings_of(saved, loading)`: what is said when a checkpoint of the one run is loaded by the other."""
    said: list[str] = []
    monkeypatch.setattr("clipplus.few_shot_video.class_lists.print_log", lambda text, **_: said.append(text))
    monkeypatch.setattr("clipplus.engine.hooks.run_provenance", lambda runner: {})

    def load(saved: Any, loading: Any) -> list[str]:
        checkpoint: dict[str, Any] = dict(state_dict=saved.model.state_dict(), meta={})
        CheckpointContractHook().before_save_checkpoint(saved, checkpoint)
        CheckpointContractHook().after_load_checkpoint(loading, checkpoint)
        return said

    return load


def test_equal_lists_and_tests_on_other_classes_say_nothing(run: Callable, warnings_of: Callable) -> None:
    assert warnings_of(run(), run()) == []
    assert warnings_of(run(), run(None)) == []


def test_other_training_classes_are_named(run: Callable, warnings_of: Callable) -> None:
    (text,) = warnings_of(run("val"), run("train"))
    assert text.startswith("the class texts have changed since a.pth was saved (training classes: 'moving from ")
    assert ", ... (10) gone, 'moving from " in text
    assert ", ... (36) new)" in text


def test_another_order_of_the_same_classes_is_another_list(run: Callable, warnings_of: Callable) -> None:
    (text,) = warnings_of(run(classes=["one", "two"]), run(classes=["two", "one"]))
    assert "(the order of training classes)" in text


def test_other_templates_are_named_in_a_test_too(run: Callable, warnings_of: Callable) -> None:
    (text,) = warnings_of(run(), run(None, templates=["a video of {}"]))
    assert "(templates 'a photo of {}' -> 'a video of {}')" in text


def test_recognisers_without_texts_say_nothing(run: Callable, warnings_of: Callable) -> None:
    assert warnings_of(run("val", with_text=False), run("train")) == []
    assert warnings_of(run("val"), run("train", with_text=False)) == []
