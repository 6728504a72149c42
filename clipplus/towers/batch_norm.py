"""Layers that make a sample's features depend on its batch."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def training_batch_norms(model: nn.Module) -> list[str]:
    """Names of the batch-norm layers in training mode: they normalise a batch by its own statistics.

    Synchronised ones are among them: over ranks they see the whole batch, but never more of it than one pass does.
    """
    return [name for name, module in model.named_modules() if isinstance(module, _BatchNorm) and module.training]
