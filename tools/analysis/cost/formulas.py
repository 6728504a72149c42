"""From counts of one sample to a step on many GPUs: plain arithmetic, no torch.

Symbols: N GPUs, b pairs per GPU, B = N b pairs per step, E joint width, P parameters, P_t trained parameters, c chunks
of `micro_batch` pairs. Sizes are bytes, speeds per second; a GPU's traffic is what it sends.

Sources: Patarasso and Yuan 2009 (a ring all-reduce of S bytes sends 2 (N-1)/N S per rank, a gather or a reduce-scatter
half of that); Rajbhandari et al. 2020, arXiv 1910.02054, sections 5 and 7 (memory and traffic of sharded training);
Chen et al. 2016, arXiv 1604.06174 (recomputation costs one more forward pass: 4/3); Narayanan et al. 2021, arXiv
2104.04473 (step time as FLOPs over peak times utilisation). Everything else is derived from this repository's own
code, named where it is used.
"""

import math
from dataclasses import dataclass

from cost.counting import ModelCost, TowerCost

# Weights, gradients and both moments of AdamW are fp32, also under autocast.
_FP32 = 4


@dataclass(frozen=True)
class Cluster:
    """The machines.

    Attributes:
        gpus: N.
        per_node: GPUs of a node.
        peak: FLOP/s of one GPU in the precision of the training.
        utilisation: share of `peak` that training reaches.
        within: bytes/s that a GPU sends to others of its node.
        between: bytes/s that a whole node sends to others.
    """

    gpus: int
    per_node: int
    peak: float
    utilisation: float
    within: float
    between: float

    @property
    def nodes(self) -> int:
        """Nodes, the last one perhaps not full."""
        return math.ceil(self.gpus / self.per_node)

    @property
    def ring(self) -> float:
        """bytes/s of a ring over all GPUs: its slowest link; each byte leaves a node once, not once per GPU."""
        return self.within if self.nodes == 1 else min(self.within, self.between)


@dataclass(frozen=True)
class Training:
    """How the model is trained.

    Attributes:
        rank_batch: b.
        sharded: FSDP instead of DDP.
        bf16: autocast.
        micro_batch, tile: as in the config; None is off.
    """

    rank_batch: int
    sharded: bool
    bf16: bool
    micro_batch: int | None
    tile: int | None

    @property
    def chunks(self) -> int:
        """Chunks of a rank's batch; one is not recomputed (clipplus/clip/chunks.py)."""
        return 1 if self.micro_batch is None else math.ceil(self.rank_batch / self.micro_batch)


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU; `total` leaves out the CUDA context (about 1 GB), workspaces and fragmentation."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    contrast: float
    batch: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.contrast + self.batch


@dataclass(frozen=True)
class Traffic:
    """Bytes that one GPU sends per step."""

    gradients: float
    weights: float
    features: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.gradients + self.weights + self.features


def step_flops(model: ModelCost, training: Training, gpus: int) -> float:
    """FLOPs of one GPU per step: towers forward, backward, recomputed once where asked for, and the contrast.

    The dense contrast multiplies (b, E) by (E, B) in both directions, forward once and backward twice; the tiled one
    multiplies in one direction, four times (clipplus/losses/softmax.py).
    """
    pairs = training.rank_batch
    towers = sum(
        tower.forward_flops * (2 if _recomputes(tower, training) else 1) + tower.backward_flops
        for tower in (model.image, model.text)
    )
    product = 2.0 * pairs * pairs * gpus * model.embed_dim
    return pairs * towers + product * (6 if training.tile is None else 4)


def _recomputes(tower: TowerCost, training: Training) -> bool:
    return tower.trained > 0 and (tower.checkpointed or training.chunks > 1)


def memory(model: ModelCost, training: Training, gpus: int) -> Memory:
    """Bytes on one GPU at the peak.

    Weights 4 P, gradients 4 P_t, AdamW 8 P_t. DDP keeps the buckets it sends beside the gradients (4 P_t more, counted
    with them); autocast keeps bf16 copies of the weights it uses (2 P). FSDP divides weights, gradients and moments by
    N, and holds whole what is outside of blocks, and two blocks, the one that runs and the next. With chunks it frees
    no block before the last chunk's backward pass, so that weights and gradients are whole in the end.
    """
    towers = (model.image, model.text)
    parameters, trained = sum(tower.parameters for tower in towers), sum(tower.trained for tower in towers)
    batch = training.rank_batch * model.pixels * (1 + _FP32)
    rest = dict(activations=activations(model, training), contrast=contrast_bytes(model, training, gpus), batch=batch)
    if not training.sharded or gpus == 1:
        buckets = trained if gpus > 1 else 0
        casts = 2 * parameters if training.bf16 else 0
        return Memory(_FP32 * parameters + casts, _FP32 * (trained + buckets), 2 * _FP32 * trained, **rest)
    block = max(tower.in_blocks / max(tower.blocks, 1) for tower in towers)
    whole = parameters - sum(tower.in_blocks for tower in towers) + 2 * block
    whole_gradients = min(trained, whole)
    if training.chunks > 1:
        whole, whole_gradients = parameters, trained
    return Memory(
        _FP32 * (parameters / gpus + whole) + (2 * whole if training.bf16 else 0),
        _FP32 * (trained / gpus + whole_gradients),
        2 * _FP32 * trained / gpus,
        **rest,
    )


def activations(model: ModelCost, training: Training) -> float:
    """What the backward pass needs of the towers.

    In one pass both towers keep theirs until the backward pass comes; with chunks one chunk of one tower is alive at
    a time. Gradient checkpointing keeps the inputs of all blocks, and one block in full.
    """
    kept = [_tower_activations(tower) for tower in (model.image, model.text)]
    if training.chunks > 1:
        return max(kept) * (training.micro_batch or 0)
    return sum(kept) * training.rank_batch


def _tower_activations(tower: TowerCost) -> float:
    """Per item."""
    if not tower.checkpointed or not tower.blocks:
        return tower.activation_bytes
    return tower.blocks * tower.block_input_bytes + tower.activation_bytes / tower.blocks


def contrast_bytes(model: ModelCost, training: Training, gpus: int) -> float:
    """Embeddings, gathered rows with their gradients, and similarity matrices, all fp32.

    Dense: at the peak two (b, B) matrices for each direction, logits and their log-softmax. Tiled: three (tile, B)
    blocks at a time.
    """
    pairs, all_pairs = training.rank_batch, training.rank_batch * gpus
    embeddings = 2 * 2 * _FP32 * model.embed_dim * (pairs + all_pairs)
    matrices = 4 * pairs if training.tile is None else 3 * min(training.tile, pairs)
    return embeddings + _FP32 * matrices * all_pairs


def traffic(model: ModelCost, training: Training, gpus: int) -> Traffic:
    """What one GPU sends per step.

    DDP all-reduces the gradients. FSDP reduce-scatters them and gathers the weights, `weight_gathers` times: about 1.5
    times DDP. The contrast gathers embeddings in the forward pass and all-reduces the gathered rows' gradients in the
    backward pass; dense for images and texts, tiled for texts and one log-sum-exp per column (gather.py and
    softmax.py of clipplus/losses).
    """
    ring = (gpus - 1) / gpus
    towers = (model.image, model.text)
    trained, in_blocks = sum(tower.trained for tower in towers), sum(tower.in_blocks for tower in towers)
    outside = sum(tower.parameters for tower in towers) - in_blocks
    rows = _FP32 * training.rank_batch * gpus * model.embed_dim
    modalities = 2 if training.tile is None else 1
    columns = 0.0 if training.tile is None else 2 * ring * _FP32 * training.rank_batch * gpus
    gathered = outside + weight_gathers(training) * in_blocks
    return Traffic(
        gradients=ring * _FP32 * trained * (1 if training.sharded else 2),
        weights=ring * _FP32 * gathered if training.sharded else 0.0,
        features=modalities * 3 * ring * rows + columns,
    )


def weight_gathers(training: Training) -> int:
    """How often FSDP gathers a block per step; what is outside of blocks stays after its first use.

    Once forward, once backward. With c chunks once for each chunk forward, once to recompute the first chunk that goes
    backward, and once for its backward pass, after which the block stays whole (counted: tests/tools/test_scaling.py).
    """
    return 2 if training.chunks == 1 else training.chunks + 2


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step. Gradients and weights travel behind the computation as far as it lasts.

    Attributes:
        compute: FLOPs over peak times utilisation.
        exposed: of gradients and weights what computation does not hide: DDP sends during the backward pass, FSDP
            during all of it.
        features: embeddings, which nothing hides.
    """

    compute: float
    exposed: float
    features: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.compute + self.exposed + self.features


def step_time(model: ModelCost, training: Training, cluster: Cluster) -> StepTime:
    """Seconds of one step; latencies, stragglers and a loader that is too slow come on top."""
    sent = traffic(model, training, cluster.gpus)
    compute = step_flops(model, training, cluster.gpus) / (cluster.peak * cluster.utilisation)
    pairs = training.rank_batch
    backward = pairs * (model.image.backward_flops + model.text.backward_flops) / (cluster.peak * cluster.utilisation)
    hidden = compute if training.sharded else backward
    state = (sent.gradients + sent.weights) / cluster.ring
    return StepTime(compute, max(0.0, state - hidden), sent.features / cluster.ring)


def bottleneck(time: StepTime, fits: bool) -> str:
    """The largest part of a step, or what makes it impossible."""
    if not fits:
        return "memory"
    parts = {"compute": time.compute, "gradients and weights": time.exposed, "features": time.features}
    return max(parts, key=lambda name: parts[name])
