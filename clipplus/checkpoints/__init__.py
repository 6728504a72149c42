"""Checkpoint files: safe reading, names for contents, caches of computed tensors."""

from clipplus.checkpoints.cache import read_tensors, write_tensors
from clipplus.checkpoints.fingerprint import fingerprint, tower_hash
from clipplus.checkpoints.restricted import load_restricted
from clipplus.checkpoints.weights import WeightFile, read_weights, rename_for

__all__ = [
    "WeightFile",
    "fingerprint",
    "load_restricted",
    "read_tensors",
    "read_weights",
    "rename_for",
    "tower_hash",
    "write_tensors",
]
