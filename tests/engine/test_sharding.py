"""Sharded training: two gloo ranks against two replicated ones, through the Runner, files and a resume."""

import traceback
from pathlib import Path
from typing import Any

# Every Runner's visualizer would import it again in each child.
import matplotlib.backends.backend_agg
import matplotlib.figure  # noqa: F401
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmpretrain.utils import register_all_modules
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.multiprocessing import start_processes

import clipplus.clip
import clipplus.engine.sharding  # noqa: F401 - registers the strategy
from clipplus.checkpoints import load_restricted
from clipplus.engine.launch import build_runner

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "configs" / "clip" / "clip_resnet-tiny_1xb128-8e_shapes.py"
SHARDED = ROOT / "configs" / "clip" / "clip_vit-large-p14_8xb512-fsdp-32e_own-pictures-224.py"
TOWER = dict(
    embed_dim=16,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=16, width=32, layers=2, head_width=16),
    text_cfg=dict(context_length=77, vocab_size=49408, width=16, heads=2, layers=2),
)


def small_config(work_dir: Path, sharded: bool, **model: Any) -> Config:
    """2 epochs of 2 updates of 8 scenes, checkpoints after each epoch, no evaluation."""
    config = Config.fromfile(SHAPES)
    checkpointing = model.pop("grad_checkpointing", False)
    for name in ("image_tower", "text_tower"):
        config.model[name].update(model=TOWER, grad_checkpointing=checkpointing)
    config.model.update(model)
    config.custom_hooks = [dict(type="LogitScaleClampHook")]
    config.train_dataloader.update(batch_size=4, num_workers=0)
    config.train_dataloader.dataset.dataset.update(num_scenes=16, size=32)
    config.train_cfg = dict(type="StepLoop", max_epochs=2)
    for mode in ("val", "test"):
        config.update({f"{mode}_{part}": None for part in ("cfg", "dataloader", "evaluator")})
    # A rate that shows what an update did, from the first one on.
    config.param_scheduler = [dict(type="ConstantLR", factor=0.5, by_epoch=False, end=3)]
    config.update(work_dir=str(work_dir), launcher="pytorch", log_level="WARNING")
    if sharded:
        config.update(runner_type="FlexibleRunner", strategy=dict(type="ShardedStrategy"))
    return config


def train(rank: int, world: int, store: Path, configs: list[Config]) -> None:
    """Life of a rank: one training after the other."""
    torch.set_num_threads(1)
    # mmengine's DDP and FSDP both read it.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCAL_RANK", str(rank))
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
        try:
            for config in configs:
                runner = build_runner(config)
                runner.train()
                assert isinstance(runner.model, FullyShardedDataParallel) == ("strategy" in config)
        except BaseException:
            (store.parent / f"rank{rank}.txt").write_text(traceback.format_exc())
            raise
        dist.destroy_process_group()


def run_ranks(folder: Path, configs: list[Config]) -> None:
    start_processes(train, args=(2, folder / "store", configs), nprocs=2, start_method="fork")


def last_checkpoint(work_dir: Path, updates: int = 4) -> dict[str, Any]:
    """The one after so many updates, whatever its name."""
    found = [load_restricted(path) for path in sorted(work_dir.glob("*.pth"))]
    return next(checkpoint for checkpoint in found if checkpoint["meta"]["iter"] == updates)


def path_after(work_dir: Path, updates: int) -> str:
    return str(
        next(path for path in sorted(work_dir.glob("*.pth")) if load_restricted(path)["meta"]["iter"] == updates)
    )


def optimizer_by_name(checkpoint: dict[str, Any], names: list[str]) -> dict[str, dict[str, torch.Tensor]]:
    """States by parameter name; an unsharded optimiser knows numbers only."""
    state = checkpoint["optimizer"]["state"]
    return {key if isinstance(key, str) else names[key]: value for key, value in state.items()}


def assert_same_training(ours: dict[str, Any], reference: dict[str, Any]) -> None:
    """Weights and optimiser states, bit by bit."""
    assert ours["state_dict"].keys() == reference["state_dict"].keys()
    assert all(torch.equal(ours["state_dict"][key], value) for key, value in reference["state_dict"].items())
    names = [name for group in ours["optimizer"]["param_groups"] for name in group["params"]]
    own, other = optimizer_by_name(ours, names), optimizer_by_name(reference, names)
    assert own.keys() == other.keys()
    for name, states in other.items():
        assert all(torch.equal(own[name][kind], value) for kind, value in states.items()), name


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Replicated and sharded, plain, with chunks, with gradient checkpointing; two processes for all."""
    folder = tmp_path_factory.mktemp("sharding")
    register_all_modules(init_default_scope=False)
    chunks = dict(micro_batch=3)
    configs = [
        small_config(folder / "replicated", sharded=False),
        small_config(folder / "replicated_chunks", sharded=False, **chunks),
        small_config(folder / "plain", sharded=True),
        small_config(folder / "chunks", sharded=True, **chunks),
        small_config(folder / "blocks", sharded=True, grad_checkpointing=True),
    ]
    run_ranks(folder, configs)
    return folder


@pytest.mark.parametrize("variant", ["plain", "blocks"])
def test_shards_learn_what_whole_weights_do(trainings: Path, variant: str) -> None:
    """Weights, moments and decay: the groups were made of whole parameters."""
    ours, reference = last_checkpoint(trainings / variant), last_checkpoint(trainings / "replicated")
    assert_same_training(ours, reference)
    groups = [
        [len(group["params"]) for group in checkpoint["optimizer"]["param_groups"]] for checkpoint in (ours, reference)
    ]
    assert groups[0] == groups[1]
    assert [group["weight_decay"] for group in ours["optimizer"]["param_groups"]] == [0.2, 0.0]


def test_chunks_of_a_sharded_model_learn_the_same(trainings: Path) -> None:
    assert_same_training(last_checkpoint(trainings / "chunks"), last_checkpoint(trainings / "replicated_chunks"))


def test_resumed_shards_end_bit_equal_sharded_or_not(trainings: Path, tmp_path: Path) -> None:
    """The file is that of an unsharded training, which goes on from it as well, and the other way round."""
    starts = {"sharded": "plain", "replicated": "plain", "sharded_now": "replicated"}
    configs = [small_config(tmp_path / name, sharded=name != "replicated") for name in starts]
    for config, start in zip(configs, starts.values(), strict=True):
        config.update(resume=True, load_from=path_after(trainings / start, 2))
    run_ranks(tmp_path, configs)
    reference = last_checkpoint(trainings / "replicated")
    assert_same_training(last_checkpoint(tmp_path / "sharded"), reference)
    assert_same_training(last_checkpoint(tmp_path / "sharded_now"), reference)
    resumed = last_checkpoint(tmp_path / "replicated")
    assert all(torch.equal(resumed["state_dict"][key], value) for key, value in reference["state_dict"].items())


def test_nothing_half_written_is_left(trainings: Path) -> None:
    assert not list(trainings.rglob("*partial*"))


def test_one_process_is_told_how_to_start_several() -> None:
    config = Config.fromfile(SHARDED)
    config.update(launcher="none", work_dir="unused")
    with pytest.raises(ValueError, match=r"spreads a model over processes, and there is one: .*tools/dist_train.sh"):
        build_runner(config)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (dict(clip_grad=dict(max_norm=1.0)), "clip_grad would measure the norm of each rank's shards alone"),
        (dict(accumulative_counts=2), "knows no accumulative_counts: raise train_dataloader.batch_size"),
    ],
)
def test_updates_of_parts_are_refused(option: dict[str, Any], message: str) -> None:
    from clipplus.engine.sharding import _require_whole_updates

    with pytest.raises(ValueError, match=message):
        _require_whole_updates(dict(option))
