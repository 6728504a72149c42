"""The two halves of a CLIP, from open_clip."""

from clipplus.towers.config import TowerConfig, check_activation, load_pretrained, resolve_model
from clipplus.towers.image import CLIPImageTower, ImageTokens
from clipplus.towers.text import CLIPTextTower

__all__ = [
    "CLIPImageTower",
    "CLIPTextTower",
    "ImageTokens",
    "TowerConfig",
    "check_activation",
    "load_pretrained",
    "resolve_model",
]
