"""Data sets, caption transforms, batches and their order."""
from clipplus.data.keyed_dataset import KeyedDataset, quiet_worker
from clipplus.data.order import EpochOrder, GlobalBatches
