"""Running: loop, optimiser, hooks, safe loading of checkpoints, launching."""

from clipplus.data import EpochOrder, GlobalBatches, KeyedDataset
from clipplus.engine.hooks import CheckpointContractHook, LogitScaleClampHook
from clipplus.engine.loading import load_from_restricted
from clipplus.engine.optim import AutoAmpOptimWrapper, CLIPOptimWrapperConstructor
from clipplus.engine.step_loop import StepLoop

__all__ = [
    "AutoAmpOptimWrapper",
    "CLIPOptimWrapperConstructor",
    "CheckpointContractHook",
    "EpochOrder",
    "GlobalBatches",
    "KeyedDataset",
    "LogitScaleClampHook",
    "StepLoop",
    "load_from_restricted",
]
