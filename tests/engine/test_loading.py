"""Every address that mmengine can load a checkpoint from leads to the restricted loader."""

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader
from safetensors.torch import save_file

import clipplus.engine  # noqa: F401 - registers the loaders


class RunsOnLoad:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple:
        return os.system, (self.command,)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a folder served on this machine; downloads go to a folder of the test."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    (tmp_path / "served").mkdir()
    handler = functools.partial(_Quiet, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_downloads_are_read_without_running_anything(server: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    torch.save({"state_dict": {"w": torch.ones(2)}}, tmp_path / "served" / "good.pth")
    torch.save({"state_dict": {}, "x": RunsOnLoad(f"touch {marker}")}, tmp_path / "served" / "evil.pth")
    loaded = CheckpointLoader.load_checkpoint(f"{server}/good.pth", map_location="cpu")
    torch.testing.assert_close(loaded["state_dict"]["w"], torch.ones(2))
    with pytest.raises(ValueError, match=r"evil.pth is refused: it asks for posix.system"):
        CheckpointLoader.load_checkpoint(f"{server}/evil.pth", map_location="cpu")
    assert not marker.exists()
    assert not list((tmp_path / "hub").rglob("*.partial"))


@pytest.mark.parametrize(
    "address",
    ["torchvision://resnet18", "open-mmlab://x", "openmmlab://x", "mmcls://x", "modelzoo://x", "pavi://x", "s3://x"],
)
def test_zoo_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="names a model zoo or store: download the file"):
        CheckpointLoader.load_checkpoint(address)


def test_safetensors_files_are_checkpoints_too(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / "a.safetensors"))
    torch.testing.assert_close(loaded["state_dict"]["w"], torch.ones(2))
    (tmp_path / "b.safetensors").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"b.safetensors is truncated or no safetensors file"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "b.safetensors"))
