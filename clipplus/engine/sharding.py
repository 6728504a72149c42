"""Training with weights, gradients and optimiser states spread over the ranks (FSDP), on GPUs and on CPUs.

A config asks for it with `runner_type='FlexibleRunner'` and `strategy=dict(type='ShardedStrategy', ...)`; see
docs/scaling.md. It is mmengine's `FSDPStrategy` with what that gets wrong for our models put right.
"""

import copy
import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from mmengine._strategy import FSDPStrategy
from mmengine.dist import all_gather_object
from mmengine.optim import BaseOptimWrapper, build_optim_wrapper
from mmengine.registry import FUNCTIONS, STRATEGIES
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

# Classes of residual blocks by name: open_clip's towers, and timm's trunks.
_BLOCKS = ("ResidualAttentionBlock", "CustomResidualAttentionBlock", "Block")


@FUNCTIONS.register_module()
def residual_blocks(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:  # noqa: ARG001 - torch's keyword
    """FSDP's `auto_wrap_policy`: each residual block of a tower is a unit, and what is left is the last one.

    A unit's weights are gathered together before it runs and freed after it. Blocks are alike, so memory and traffic
    are even, and a block is what a tower calls as a whole, so that its weights are there when they are used.
    """
    return recurse or type(module).__name__ in _BLOCKS


@STRATEGIES.register_module()
class ShardedStrategy(FSDPStrategy):
    """FSDP for CLIP models.

    What it adds to mmengine's `FSDPStrategy`, each needed:

    * On a machine without GPU it shards over gloo processes; mmengine passes a CUDA index.
    * Scalars (`logit_scale`, `logit_bias`), which FSDP refuses, stay whole on every rank, and their gradients are
      averaged over the ranks as DDP would.
    * Parameter groups are made before the weights are sharded. Shards have one dimension, so that a rule by shape
      (`CLIPOptimWrapperConstructor`) would decay nothing, without a word.
    * Optimiser states are resumed: torch changed the order of arguments that mmengine relies on.
    * Checkpoints are whole: the file of an unsharded training, from which that can go on, and which `tools/test.py`
      reads. All ranks must save together, as `RunCheckpointHook` does.

    Args:
        model_wrapper: options of `MMFullyShardedDataParallel`; the default cuts at `residual_blocks`.
        **kwargs: as in mmengine's `FSDPStrategy`, without `state_dict_cfg`, which is 'full'.

    Raises:
        ValueError: a launcher of 'none', or `use_orig_params=False`.
    """

    model_wrapper: dict[str, Any]

    def __init__(self, *, model_wrapper: dict | None = None, **kwargs: Any) -> None:
        wrapper = {"type": "MMFullyShardedDataParallel", "auto_wrap_policy": "residual_blocks", **(model_wrapper or {})}
        if not wrapper.get("use_orig_params", True):
            raise ValueError(
                "ShardedStrategy needs use_orig_params=True: parameter groups are made of whole parameters"
            )
        if (kwargs.get("env_kwargs") or {}).get("launcher") in (None, "none"):
            raise ValueError(
                "ShardedStrategy spreads a model over processes, and there is one: start with tools/dist_train.sh or "
                "tools/slurm_train.sh (also with one GPU), or remove strategy and runner_type from the config"
            )
        kwargs["state_dict_cfg"] = "full"
        super().__init__(model_wrapper=wrapper, **kwargs)

    def prepare(
        self, model: nn.Module | dict, *, optim_wrapper: BaseOptimWrapper | dict | None = None, **kwargs: Any
    ) -> Any:
        """Build, group the parameters, then wrap.

        Raises:
            ValueError: gradient clipping or accumulation.
        """
        if not self._prepared:
            model = self.build_model(model)
            if isinstance(optim_wrapper, dict):
                _require_whole_updates(optim_wrapper)
                optim_wrapper = build_optim_wrapper(model, optim_wrapper)
        return super().prepare(model, optim_wrapper=optim_wrapper, **kwargs)

    def build_optim_wrapper(
        self, optim_wrapper: BaseOptimWrapper | dict, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        """What `prepare` built: with `use_orig_params` the sharded parameters are the objects that it holds."""
        if isinstance(optim_wrapper, BaseOptimWrapper):
            return optim_wrapper
        return super().build_optim_wrapper(optim_wrapper, model)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if torch.cuda.is_available() else "cpu"
        scalars = [parameter for parameter in model.parameters() if parameter.ndim == 0]
        for scalar in scalars:
            scalar.data = scalar.data.to(device)
            if scalar.requires_grad:
                scalar.register_post_accumulate_grad_hook(_average_gradient)
        self.model_wrapper = {**self.model_wrapper, "device_id": torch.device(device), "ignored_states": scalars}
        wrapped = super()._wrap_model(model)
        units = sum(isinstance(module, FullyShardedDataParallel) for module in wrapped.modules())
        self.logger.info(f"FSDP: {units} units over {dist.get_world_size()} ranks")
        return wrapped

    def load_checkpoint(self, filename: str, *, callback: Callable | None = None, **kwargs: Any) -> dict:
        """Read the whole file on every rank, each of which keeps its shards.

        `callback` (the hooks' `after_load_checkpoint`) sees whole parameters, as it does without sharding.
        """

        def with_whole_parameters(checkpoint: dict) -> None:
            if callback is not None:
                with FullyShardedDataParallel.summon_full_params(self.model, writeback=False):
                    callback(checkpoint)

        return super().load_checkpoint(filename, callback=with_whole_parameters, **kwargs)

    def optim_state_dict(self) -> dict:
        """Whole optimiser states, by parameter name; on rank 0, the others help to collect them."""
        if torch.cuda.is_available():
            return super().optim_state_dict()
        # torch collects every kind of state in the same buffer and relies on the copy to the CPU to tell them apart,
        # which on a CPU is none: all moments would be saved as the last one. So one kind at a time, copied.
        own = self.optim_wrapper.state_dict()
        kinds = {kind for states in all_gather_object(_kinds(own["state"])) for kind in states}
        whole: dict[str, Any] = {}
        for kind in sorted(kinds) or ["step"]:
            part = {**own, "state": {key: _only(states, kind) for key, states in own["state"].items()}}
            collected = copy.deepcopy(FullyShardedDataParallel.optim_state_dict(self.model, self.optim_wrapper, part))
            for name, states in collected.get("state", {}).items():
                whole.setdefault("state", {}).setdefault(name, {}).update(states)
            whole.setdefault("param_groups", collected.get("param_groups", []))
        return whole

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Spread whole optimiser states over the ranks; those of an unsharded training are numbered, ours named."""
        optimizer = self.optim_wrapper.optimizer
        names = [self.id_to_name[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
        named = {names[key] if isinstance(key, int) else key: value for key, value in state_dict["state"].items()}
        groups = [
            {**group, "params": [names[key] if isinstance(key, int) else key for key in group["params"]]}
            for group in state_dict["param_groups"]
        ]
        state_dict = {**state_dict, "state": named, "param_groups": groups}
        sharded = FullyShardedDataParallel.optim_state_dict_to_load(self.model, optimizer, state_dict)
        self.optim_wrapper.load_state_dict(sharded)


def _average_gradient(scalar: Tensor) -> None:
    """Mean over the ranks, in place."""
    if scalar.grad is not None:
        dist.all_reduce(scalar.grad)
        scalar.grad /= dist.get_world_size()


def _kinds(state: dict) -> list[str]:
    """Names of the optimiser's states that have a parameter's shape, such as its moments."""
    return sorted({kind for states in state.values() for kind in states if kind != "step"})


def _only(states: dict[str, Any], kind: str) -> dict[str, Any]:
    """One kind of state, and the number of steps."""
    return {name: value for name, value in states.items() if name in ("step", kind)}


def _require_whole_updates(optim_wrapper: dict) -> None:
    """Refuse what would be computed from one rank's shards, or from gradients that FSDP has reduced already."""
    if optim_wrapper.get("clip_grad"):
        raise ValueError(
            "optim_wrapper.clip_grad would measure the norm of each rank's shards alone: remove it, or train without "
            "ShardedStrategy"
        )
    if optim_wrapper.get("accumulative_counts", 1) > 1:
        raise ValueError(
            "ShardedStrategy knows no accumulative_counts: raise train_dataloader.batch_size instead, with "
            "grad_checkpointing=True in both towers (or model.micro_batch) for what fits into memory"
        )
