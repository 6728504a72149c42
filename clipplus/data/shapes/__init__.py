"""Procedural scenes of coloured shapes: data that needs no download and still tells good methods from bad ones."""

from clipplus.data.shapes.dataset import ShapesDataset
from clipplus.data.shapes.scene import class_names
from clipplus.text import CLASS_SETS

CLASS_SETS["shapes"] = class_names

__all__ = ["ShapesDataset"]
