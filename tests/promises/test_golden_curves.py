"""Promise 8: the losses of 20 updates are known; a change that alters them does so on purpose.

After a change that is meant to alter results: `pytest tests/promises/test_golden_curves.py --update-curves`, and the
new files under tests/data/curves/ are part of the change.
"""

import hashlib
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

CURVES = Path(__file__).parents[1] / "data" / "curves"
UPDATES = 20
UPDATE = "pytest tests/promises/test_golden_curves.py --update-curves"


def machine() -> dict[str, str]:
    """What bits depend on besides the code; children compute with one thread."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().split("\n\n")[0].splitlines() if information.is_file() else []
    first = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    # Several generations may have one name; kernels are chosen by features and cut by cache sizes.
    kind = [first.get(name, "") for name in ("vendor_id", "cpu family", "model", "stepping", "flags", "cache size")]
    return dict(
        cpu=first.get("model name", platform.processor()),
        kind=hashlib.blake2b(repr(kind).encode(), digest_size=8).hexdigest(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        torch=torch.__version__,
        threads="1",
    )


@pytest.fixture
def losses(
    shapes_path: Path, shrunk: Callable[..., Config], train: Callable[..., list[dict[str, Any]]], tmp_path: Path
) -> list[float]:
    """Of 20 updates of 8 samples, in float64."""
    config = shrunk(shapes_path, tmp_path / "work", bare=True)
    config.train_cfg = dict(type=config.train_cfg.type, max_iters=UPDATES)
    # In float32 the rounding of another machine's kernels grows beyond 1e-4 within 20 updates (Adam, small batches).
    config.runner_type = "Float64Runner"
    return [float.fromhex(record["loss"]) for record in train(config)]


def test_first_losses_are_the_stored_ones(
    losses: list[float], shapes_path: Path, request: pytest.FixtureRequest
) -> None:
    path = CURVES / f"{shapes_path.stem}.json"
    if request.config.getoption("--update-curves", default=False):
        content = dict(machine=machine(), loss=losses, bits=[loss.hex() for loss in losses])
        path.write_text(json.dumps(content, indent=1) + "\n")
    assert path.is_file(), f"no curve of {shapes_path.name}: write it with `{UPDATE}`"
    stored = json.loads(path.read_text())
    same_machine = stored["machine"] == machine()
    expected = [float.fromhex(bits) for bits in stored["bits"]] if same_machine else stored["loss"]
    assert len(losses) == len(expected) == UPDATES
    wanted = expected if same_machine else pytest.approx(expected, rel=1e-4)
    first = next((i for i, pair in enumerate(zip(losses, expected, strict=True)) if pair[0] != pair[1]), None)
    assert losses == wanted, (
        f"{shapes_path.stem} trains differently from update {first} on ({losses[first or 0]} instead of "
        f"{expected[first or 0]}; compared {'bit by bit' if same_machine else 'to 1e-4'}): find out why, or, if the "
        f"change is meant to alter results, write the curves anew with `{UPDATE}` and say so in CHANGELOG.md"
    )


def test_every_stored_curve_belongs_to_a_config() -> None:
    configs = {path.stem for path in Path(__file__).parents[2].glob("configs/*/*_shapes.py")}
    assert {path.stem for path in CURVES.glob("*.json")} <= configs
