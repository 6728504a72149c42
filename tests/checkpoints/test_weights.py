"""Weight files of all kinds read as open_clip state dicts; hashes and caches."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from clipplus.checkpoints import (
    fingerprint,
    read_tensors,
    read_weights,
    rename_for,
    tower_hash,
    write_tensors,
)

WEIGHTS = {
    "visual.proj": torch.arange(4.0).view(2, 2),
    "text_projection": torch.ones(2),
    "logit_scale": torch.tensor(2.0),
}


@pytest.mark.parametrize("prefix", ["", "module.", "clip.", "backbone.", "module.image_tower."])
def test_whatever_stands_before_open_clips_keys_is_dropped(prefix: str, tmp_path: Path) -> None:
    torch.save({"state_dict": {prefix + key: value for key, value in WEIGHTS.items()}}, tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth").weights.keys() == WEIGHTS.keys()


def test_safetensors_and_records_are_read(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    assert read_weights(tmp_path / "a.safetensors").record == {}
    torch.save({"state_dict": WEIGHTS, "meta": {"clipplus": {"quick_gelu": True}}}, tmp_path / "a.pth")
    assert read_weights(tmp_path / "a.pth").record == {"quick_gelu": True}


def test_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"note": "hello"}}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a.pth holds no tensors"):
        read_weights(tmp_path / "a.pth")


def test_truncated_safetensors_is_refused(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"b.safetensors is truncated or no safetensors file"):
        read_weights(tmp_path / "b.safetensors")


def test_rename_finds_the_models_own_names() -> None:
    renamed = rename_for(["image_tower.visual.proj", "logit_scale"], {**WEIGHTS, "ema.note": torch.zeros(1)})
    assert renamed.keys() == {"image_tower.visual.proj", "text_projection", "logit_scale", "ema.note"}


def test_tower_hash_sees_values_shapes_dtypes_and_names_but_not_order() -> None:
    base = tower_hash(WEIGHTS)
    assert tower_hash(dict(reversed(WEIGHTS.items()))) == base
    changed = [
        WEIGHTS | {"visual.proj": torch.arange(4.0).view(2, 2) + 1e-6},
        WEIGHTS | {"visual.proj": torch.arange(4.0)},
        WEIGHTS | {"visual.proj": WEIGHTS["visual.proj"].double()},
        {("x." + key): value for key, value in WEIGHTS.items()},
    ]
    assert len({base, *map(tower_hash, changed)}) == 5


def test_fingerprint_ignores_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1}) != fingerprint({"a": 1, "b": [3]})


def test_cache_entries_of_other_settings_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "entry.safetensors"
    assert read_tensors(path, {"tower": "x"}) == (None, [])
    write_tensors(path, WEIGHTS, {"tower": "x", "names": 2})
    stored, changed = read_tensors(path, {"tower": "x", "names": 2})
    assert changed == []
    torch.testing.assert_close(stored["visual.proj"], WEIGHTS["visual.proj"])  # type: ignore[index]
    assert read_tensors(path, {"tower": "y", "names": 2}) == (None, ["tower"])
    assert [entry.name for entry in path.parent.iterdir()] == ["entry.safetensors"]


def test_broken_cache_entry_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "entry.safetensors").write_bytes(b"broken")
    assert read_tensors(tmp_path / "entry.safetensors", {}) == (None, [])
