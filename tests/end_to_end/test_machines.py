"""The commands for several machines of docs/distributed.md, with two "machines" on this one."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipplus.checkpoints import load_restricted

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "distributed.md"


@pytest.mark.slow
def test_two_machines_train_like_one_process(arguments: list[str], trained: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    commands = re.findall(r"^    (NNODES=2 .*)$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(commands) == 2
    config, *options = arguments
    options.append("train_dataloader.batch_size=8")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PORT": port,
        "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    machines = []
    for number, command in enumerate(commands):
        command = command.replace("node0", "127.0.0.1").replace("CONFIG 8", f"{config} 1")
        command = command.replace("WORK_DIR", str(tmp_path / "work"))
        log = (tmp_path / f"machine{number}.txt").open("w")
        machines.append(
            subprocess.Popen(["bash", "-c", f'{command} "$@"', "bash", *options], cwd=ROOT, env=environment, stdout=log,
                             stderr=log)
        )  # fmt: skip
    codes = [machine.wait(timeout=200) for machine in machines]
    assert codes == [0, 0], "\n".join(path.read_text()[-3000:] for path in tmp_path.glob("machine*.txt"))
    weights, expected = (load_restricted(d / "epoch_1.pth")["state_dict"] for d in (tmp_path / "work", trained))
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=1e-5)
