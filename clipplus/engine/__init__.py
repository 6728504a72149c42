"""Running: loop, optimiser, hooks, safe loading of checkpoints, launching."""

from clipplus.data import EpochOrder, GlobalBatches, KeyedDataset
from clipplus.engine.bad_samples import BadSampleHook
from clipplus.engine.hooks import CheckpointContractHook, LogitScaleClampHook
from clipplus.engine.latest import latest_checkpoint
from clipplus.engine.loading import load_from_restricted
from clipplus.engine.non_finite import NonFiniteHook
from clipplus.engine.optim import AutoAmpOptimWrapper, CLIPOptimWrapperConstructor
from clipplus.engine.provenance import run_provenance
from clipplus.engine.run_checkpoint import RunCheckpointHook
from clipplus.engine.step_loop import StepLoop
from clipplus.engine.tower_references import TowerReferencesHook

__all__ = [
    "AutoAmpOptimWrapper",
    "BadSampleHook",
    "CLIPOptimWrapperConstructor",
    "CheckpointContractHook",
    "EpochOrder",
    "GlobalBatches",
    "KeyedDataset",
    "LogitScaleClampHook",
    "NonFiniteHook",
    "RunCheckpointHook",
    "StepLoop",
    "TowerReferencesHook",
    "latest_checkpoint",
    "load_from_restricted",
    "run_provenance",
]
