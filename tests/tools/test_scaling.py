"""tools/analysis/scaling.py against formulas derived by hand, real models, measured memory and counted traffic."""

import importlib
import json
import math
import multiprocessing
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.registry import MODELS
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

import clipplus.clip  # noqa: F401 - registers the parts that the configs below name
from clipplus.engine.sharding import residual_blocks

ROOT = Path(__file__).parents[2]
WIDTH, LAYERS, PATCHES, EMBED, VOCABULARY, CONTEXT = 32, 3, 16, 24, 100, 12
TOWER = dict(
    embed_dim=EMBED,
    quick_gelu=False,
    vision_cfg=dict(image_size=32, patch_size=8, width=WIDTH, layers=LAYERS, head_width=16),
    text_cfg=dict(context_length=CONTEXT, vocab_size=VOCABULARY, width=WIDTH, heads=2, layers=LAYERS),
)


def config(batch: int = 8, **model: Any) -> dict[str, Any]:
    return dict(
        model=dict(
            type="CLIPModel",
            image_tower=dict(type="CLIPImageTower", model=TOWER),
            text_tower=dict(type="CLIPTextTower", model=TOWER),
            loss=dict(type="SoftmaxContrastiveLoss"),
            **model,
        ),
        train_dataloader=dict(batch_size=batch),
    )


@pytest.fixture(scope="module", autouse=True)
def _tool_path() -> Iterator[None]:
    """The tool's neighbours are found as they are when it runs as a script."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools" / "analysis"))
        yield


@pytest.fixture(scope="module")
def counting(_tool_path: None) -> ModuleType:
    return importlib.import_module("cost.counting")


@pytest.fixture(scope="module")
def formulas(_tool_path: None) -> ModuleType:
    return importlib.import_module("cost.formulas")


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a forked process: after counting, this one could fork none that computes gradients, as other tests do."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result()


Count = Callable[..., Any]


@pytest.fixture(scope="module")
def count(counting: ModuleType) -> Count:
    """`count_model`, each case once."""
    known: dict[str, Any] = {}

    def count_once(case: dict[str, Any], bf16: bool = False, text_tokens: int | None = None) -> Any:
        key = repr((case, bf16, text_tokens))
        if key not in known:
            known[key] = in_child(counting.count_model, case, bf16, text_tokens)
        return known[key]

    return count_once


@pytest.fixture
def scaling(count: Count, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("scaling")
    monkeypatch.setattr(module, "count_model", count)
    return module


def block_flops(tokens: int, width: int) -> int:
    """qkv 6, output 2, MLP 8 + 8 per token and width squared; scores and mixture 2 + 2 per pair of tokens."""
    return 24 * tokens * width**2 + 4 * tokens**2 * width


def test_flops_equal_the_formula_of_a_transformer(count: Count) -> None:
    model = count(config())
    patches = 2 * PATCHES * (3 * 8 * 8) * WIDTH
    image = patches + LAYERS * block_flops(PATCHES + 1, WIDTH) + 2 * WIDTH * EMBED
    text = LAYERS * block_flops(CONTEXT, WIDTH) + 2 * WIDTH * EMBED
    assert (model.image.forward_flops, model.text.forward_flops) == (image, text)
    # Each product has two in the backward pass; pixels need no gradient.
    assert (model.image.backward_flops, model.text.backward_flops) == (2 * image - patches, 2 * text)
    assert (model.image.tokens, model.text.tokens) == (PATCHES + 1, CONTEXT)


def test_flops_of_vit_b_16_are_the_published_ones(count: Count) -> None:
    """17.6 billion multiply-adds per image of 224 px; 86.2 + 63.4 million parameters."""
    big = config()
    for tower in ("image_tower", "text_tower"):
        big["model"][tower]["model"] = "ViT-B-16"
    model = count(big, bf16=True)
    assert model.image.forward_flops / 2e9 == pytest.approx(17.56, abs=0.01)
    assert (model.image.parameters, model.text.parameters) == (86_192_640, 63_428_096)


def test_fewer_tokens_cost_less_and_more_than_the_context_are_refused(count: Count) -> None:
    short = count(config(), bf16=False, text_tokens=4).text
    assert short.forward_flops == LAYERS * block_flops(4, WIDTH) + 2 * WIDTH * EMBED
    with pytest.raises(ValueError, match="13 tokens per text, but the text tower's context is 12"):
        count(config(), bf16=False, text_tokens=13)


def test_bytes_of_weights_gradients_and_moments_are_those_of_a_model(count: Count, formulas: ModuleType) -> None:
    model = MODELS.build(config()["model"])
    optimizer = torch.optim.AdamW(model.parameters())
    draw_loss(model, 4).backward()
    optimizer.step()
    towers = list(model.image_tower.parameters()) + list(model.text_tower.parameters())
    moments = [optimizer.state[p][kind] for p in towers for kind in ("exp_avg", "exp_avg_sq")]
    need = formulas.memory(count(config()), formulas.Training(8, False, False, None, None), gpus=1)
    assert need.weights == sum(p.nbytes for p in towers)
    assert need.gradients == sum(p.grad.nbytes for p in towers)
    assert need.optimizer == sum(m.nbytes for m in moments)


def draw_loss(model: nn.Module, pairs: int) -> torch.Tensor:
    tokens = torch.randint(1, VOCABULARY - 2, (pairs, CONTEXT))
    tokens[:, -1] = VOCABULARY - 1
    return model(torch.randn(pairs, 3, 32, 32), tokens, mode="loss")["loss_contrast"]


def measured_peak(pairs: int, micro_batch: int | None) -> float:
    """Bytes that a step needs at its peak above what is there after a small one."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    measure = importlib.import_module("measure")
    torch.set_num_threads(1)
    measure.return_freed_memory()
    model = MODELS.build(config(micro_batch=micro_batch)["model"])
    draw_loss(model, 8).backward()
    return 1e6 * measure.peak_memory_mb(lambda: draw_loss(model, pairs).backward())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize("micro_batch", [None, 64])
def test_activations_are_what_a_step_needs_at_its_peak(
    micro_batch: int | None, count: Count, formulas: ModuleType
) -> None:
    """0.94 of what is counted was measured, with chunks 1.1; the heap of a busy machine may add to it."""
    pairs = 512
    # A process of its own: a fork would allocate from what other tests have freed.
    command = [sys.executable, __file__, str(pairs), *([] if micro_batch is None else [str(micro_batch)])]
    measured = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    training = formulas.Training(pairs, False, False, micro_batch, None)
    need = formulas.memory(count(config(pairs)), training, gpus=1)
    expected = need.activations + need.contrast + 4 * pairs * 3 * 32 * 32
    assert 0.75 < measured / expected < 1.75


def test_autocast_keeps_fewer_bytes_but_more_than_half(count: Count) -> None:
    whole, half = (count(config(), bf16=bf16).image.activation_bytes for bf16 in (False, True))
    assert 0.5 * whole < half < 0.75 * whole


class CountedTraffic(TorchDispatchMode):
    """Bytes that every collective sends per rank in a ring, by its kind; `size` is that of the whole tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d":
            ring = (dist.get_world_size() - 1) / dist.get_world_size()
            name = func._schema.name.removeprefix("c10d::").strip("_")
            tensors = list(_tensors(args))
            whole = max(tensor.nbytes for tensor in tensors)
            if name == "allgather":
                whole = sum(tensor.nbytes for tensor in _tensors(args[0]))
            self.sent[name] += (
                (2 if name == "allreduce" else 1)
                * ring
                * (sum(tensor.nbytes for tensor in tensors) if name == "allreduce" else whole)
            )
        return func(*args, **(kwargs or {}))


def _tensors(part: Any) -> Iterator[torch.Tensor]:
    if isinstance(part, torch.Tensor):
        yield part
    elif isinstance(part, list | tuple):
        for one in part:
            yield from _tensors(one)


def count_step(rank: int, folder: Path, sharded: bool, micro_batch: int | None, tile: int | None) -> None:
    """One step of 8 pairs on each of two ranks; rank 0 writes what it sent."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    options = config(micro_batch=micro_batch)
    options["model"]["loss"]["tile"] = tile
    torch.manual_seed(0)
    model: nn.Module = MODELS.build(options["model"])
    if sharded:
        device = torch.device("cpu")
        model = FullyShardedDataParallel(
            model, auto_wrap_policy=residual_blocks, device_id=device, use_orig_params=True,
            ignored_states=[model.logit_scale],
        )  # fmt: skip
    else:
        model = DistributedDataParallel(model)
    draw_loss(model, 8).backward()
    with CountedTraffic() as traffic:
        draw_loss(model, 8).backward()
    if rank == 0:
        torch.save(dict(traffic.sent), folder / "sent.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(
    ("sharded", "micro_batch", "tile"),
    [(False, None, None), (False, None, 4), (True, None, None), (True, 4, None), (True, 3, None)],
)
def test_traffic_is_what_two_gloo_ranks_send(
    sharded: bool, micro_batch: int | None, tile: int | None, tmp_path: Path, count: Count, formulas: ModuleType
) -> None:
    """Up to the few numbers of the loss, the scale and the ranks' batch sizes, and FSDP's padding of shards."""
    start_processes(count_step, args=(tmp_path, sharded, micro_batch, tile), nprocs=2, start_method="fork")
    sent = torch.load(tmp_path / "sent.pt")
    training = formulas.Training(8, sharded, False, micro_batch, tile)
    expected = formulas.traffic(count(config()), training, gpus=2)
    assert sum(sent.values()) == pytest.approx(expected.total, rel=1e-2)
    assert ("reduce_scatter_base" in sent) == sharded


def test_memory_and_traffic_of_shards(count: Count, formulas: ModuleType) -> None:
    """With many ranks the states vanish; the traffic is 1.5 times that of replicas where all weights are in blocks."""
    model = count(config())
    whole, sharded = (formulas.Training(8, shards, False, None, None) for shards in (False, True))
    assert formulas.memory(model, sharded, 8).optimizer == formulas.memory(model, whole, 8).optimizer / 8
    ratio = [formulas.traffic(model, training, 8) for training in (sharded, whole)]
    assert 1.0 < (ratio[0].gradients + ratio[0].weights) / ratio[1].gradients <= 1.5


def test_recomputation_costs_a_third_more(count: Count, formulas: ModuleType) -> None:
    model = count(config())
    once, again = (
        formulas.step_flops(model, formulas.Training(64, False, False, micro, None), gpus=1) for micro in (None, 16)
    )
    assert again / once == pytest.approx(4 / 3, abs=0.02)


def test_one_gpu_sends_nothing_and_the_slowest_link_decides(count: Count, formulas: ModuleType) -> None:
    model = count(config())
    training = formulas.Training(8, False, False, None, None)
    assert formulas.traffic(model, training, 1).total == 0
    cluster = formulas.Cluster(16, 8, 1e12, 0.5, within=300e9, between=50e9)
    assert (cluster.nodes, cluster.ring) == (2, 50e9)
    sent = formulas.traffic(model, training, 16)
    time = formulas.step_time(model, training, cluster)
    assert time.features == sent.features / 50e9
    assert time.compute == formulas.step_flops(model, training, 16) / 5e11
    assert formulas.bottleneck(time, fits=False) == "memory"


def test_tool_prints_a_row_per_number_of_gpus(
    scaling: ModuleType, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    path = ROOT / "configs" / "clip" / "clip_resnet-tiny_1xb128-8e_shapes.py"
    scaling.main([str(path), "--gpus", "1", "16", "--global-batch", "256", "--json", str(tmp_path / "rows.json")])
    printed = capsys.readouterr().out
    assert "a model, not a measurement" in printed
    assert sum(line.startswith(("|    1 |", "|   16 |")) for line in printed.splitlines()) == 4
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["rank_batch"] for row in rows] == [256, 16]
    hours = 12.8e9 / rows[0]["samples_per_second"] / 3600
    assert math.isclose(rows[0]["hours"], hours)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.py"], "config missing.py does not exist"),
        (["CONFIG", "--global-batch", "100", "--gpus", "8"], "--global-batch 100 cannot be shared evenly by 8 GPUs"),
        (["CONFIG", "--peak", "0"], "--peak must be greater than 0, got 0"),
        (["CONFIG", "--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        (["CONFIG", "--micro-batch", "-1"], "--micro-batch must be at least 0, got -1"),
    ],
)
def test_impossible_options_are_named(scaling: ModuleType, arguments: list[str], message: str) -> None:
    path = str(ROOT / "configs" / "clip" / "clip_resnet-tiny_1xb128-8e_shapes.py")
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        scaling.main([path if argument == "CONFIG" else argument for argument in arguments])


def test_a_config_without_towers_is_refused(count: Count) -> None:
    with pytest.raises(ValueError, match="the config has no image_tower and no text_tower"):
        count(dict(model=dict(type="Other"), train_dataloader=dict(batch_size=1)), bf16=False)


if __name__ == "__main__":
    print(measured_peak(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None))
