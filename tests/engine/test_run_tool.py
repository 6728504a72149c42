"""How a tool ends: bad input in one line with exit code 2, anything else with its traceback."""

import re

import pytest
import torch
from mmengine.registry import MODELS

import clipplus.few_shot_video  # noqa: F401 - registers its parts
from clipplus.data.order import EpochOrder, GlobalBatches
from clipplus.engine.launch import run_tool

HEAD = dict(type="FewShotHead", matcher=dict(type="OTAMMatcher"))


def build(**changes: object) -> None:
    MODELS.build(dict(HEAD, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(matcher=dict(type="OTAMatcher")), "OTAMatcher cannot be built: OTAMatcher is not in the mmengine::model"),
        (
            dict(matcher=dict(type="OTAMMatcher", smothing=1)),
            "OTAMMatcher has no option 'smothing' .did you mean 'smoothing'",
        ),
        (dict(matcher=dict(type="OTAMMatcher", smoothing="x")), "OTAMMatcher cannot be built: '>' not supported"),
        (dict(matcher="OTAMMatcher"), "FewShotHead cannot be built: cfg should be a dict"),
        (dict(matcher=dict(type="OTAMMatcher", smoothing=0)), "error: smoothing must be above 0, got 0"),
    ],
)
def test_parts_that_cannot_be_built_are_named_in_one_line(
    changes: dict, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLIPPLUS_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as ended:
        run_tool(lambda: build(**changes))
    assert ended.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert re.search(message, first)
    assert "CLIPPLUS_TRACEBACK=1" in second


class CannotBeRead(torch.utils.data.Dataset):
    """Fails with two errors, one after the other."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        try:
            raise ValueError("decoder: bad: data")
        except ValueError as error:
            raise ValueError(f"video {index} cannot be read: bad: data; mend it") from error


def test_of_an_error_in_a_worker_only_its_message_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLIPPLUS_TRACEBACK", raising=False)
    with pytest.raises(SystemExit):
        run_tool(lambda: list(torch.utils.data.DataLoader(CannotBeRead(), num_workers=1)))
    assert capsys.readouterr().err.splitlines()[0] == "error: video 0 cannot be read: bad: data; mend it"


def test_the_traceback_is_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPPLUS_TRACEBACK", "1")
    with pytest.raises(KeyError, match="OTAMatcher is not in"):
        run_tool(lambda: build(matcher=dict(type="OTAMatcher")))
    with pytest.raises(ValueError, match="smoothing must be above 0"):
        run_tool(lambda: build(matcher=dict(type="OTAMMatcher", smoothing=0)))


def test_errors_of_a_program_keep_their_traceback() -> None:
    def fail() -> None:
        raise KeyError("nobody's input")

    with pytest.raises(KeyError, match="nobody's input"):
        run_tool(fail)
    with pytest.raises(ZeroDivisionError):
        run_tool(lambda: print(1 / 0))


def test_batches_without_samples_are_refused() -> None:
    with pytest.raises(ValueError, match=r"train_dataloader\.batch_size must be at least 1, got 0"):
        GlobalBatches(EpochOrder(range(10), seed=0), 0)
