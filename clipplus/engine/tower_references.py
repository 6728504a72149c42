"""Frozen pretrained towers are not saved again: a checkpoint names them, and loading follows the name."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import Tensor, nn

from clipplus.checkpoints import tower_hash
from clipplus.engine.hooks import unwrapped

#: Where checkpoints keep it: `meta['towers']`.
KEY = "towers"


@HOOKS.register_module()
class TowerReferencesHook(Hook):
    """Leaves frozen pretrained towers out of checkpoints, and puts them back when one is loaded.

    `meta['towers']` holds for each of them `pretrained` (the weight tag or file that the config names), `model` (its
    name) and `hash` of its weights. On loading, a tower of the config with these weights is taken as it is; one that
    has not been loaded from anywhere is loaded from what the checkpoint names. Frozen towers that started from random
    weights are saved like everything else, and so is what trains inside of a frozen tower (`referenced_prefix`).

    Raises:
        ValueError: on loading, the config's tower has other weights, or what the checkpoint names is gone or differs.
    """

    # Before CheckpointContractHook compares keys.
    priority = "HIGHEST"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Replace the weights by their names."""
        references = {}
        for name, tower in _referenced(unwrapped(runner.model)):
            references[name] = dict(
                pretrained=tower.pretrained, model=tower.config.name, hash=tower_hash(referenced_weights(tower))
            )
            for part in ("state_dict", "ema_state_dict"):
                held = f"{name}.{_prefix(tower)}"
                for key in [key for key in checkpoint.get(part, ()) if key.startswith(held)]:
                    del checkpoint[part][key]
        if references:
            checkpoint["meta"][KEY] = references

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Put the weights back."""
        model, source = unwrapped(runner.model), str(runner._load_from)
        for name, reference in ((checkpoint.get("meta") or {}).get(KEY) or {}).items():
            tower = getattr(model, name, None)
            if tower is None:
                # A model that is shown features only.
                continue
            self._require_same(tower, reference, name, source)
            state = {f"{name}.{key}": value for key, value in referenced_weights(tower).items()}
            checkpoint["state_dict"] = {**state, **checkpoint["state_dict"]}

    @staticmethod
    def _require_same(tower: Any, reference: dict[str, Any], name: str, source: str) -> None:
        """Make the tower the one that the checkpoint names, if it is not anyway."""
        if tower_hash(referenced_weights(tower)) == reference["hash"]:
            return
        if tower.pretrained is not None:
            raise ValueError(
                f"{source} was made with {name} '{reference['model']}' from '{reference['pretrained']}', but the "
                f"config's is from '{tower.pretrained}' and differs: set model.{name}.pretrained to the former"
            )
        supply = f"{source} does not hold its {name}, '{reference['model']}' from '{reference['pretrained']}'"
        try:
            tower.load(reference["pretrained"])
        except (OSError, ValueError) as error:
            raise ValueError(f"{supply}, which cannot be read: {error}. Set model.{name}.pretrained to it") from error
        if tower_hash(referenced_weights(tower)) != reference["hash"]:
            raise ValueError(f"{supply}, whose weights have changed since: set model.{name}.pretrained to what it was")


def referenced_weights(tower: nn.Module) -> dict[str, Tensor]:
    """The weights that a name stands for: all, or where a tower has trained parts those of its `referenced_prefix`."""
    return {key: value for key, value in tower.state_dict().items() if key.startswith(_prefix(tower))}


def _prefix(tower: nn.Module) -> str:
    return getattr(tower, "referenced_prefix", "")


def _referenced(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Towers that a name stands for as well as their weights do."""
    for name, part in model.named_children():
        if getattr(part, "frozen", False) and getattr(part, "pretrained", None):
            yield name, part
