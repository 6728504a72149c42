"""A run that fits a few-shot classifier: texts, cache, training of what trains, search, `best.pth`.

Shape letters of this file: A views of every image, M keys, D channels of a feature.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mmengine.config import ConfigDict
from mmengine.hooks import EMAHook
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from mmpretrain.registry import LOOPS
from torch import Tensor
from torch.utils.data import DataLoader

from clipplus.checkpoints import fingerprint, load_restricted, tower_hash
from clipplus.data import KeyedDataset
from clipplus.engine.hooks import unwrapped
from clipplus.engine.run_checkpoint import RunCheckpointHook
from clipplus.engine.step_loop import StepLoop
from clipplus.evaluation import FeatureCache, ImageFeatures, cached_features, feature_parts
from clipplus.evaluation.loaders import build_evaluation_loader, dataset_of
from clipplus.methods.ape.cache_head import CacheHead
from clipplus.methods.ape.fit_record import FitRecordHook, changed_fit
from clipplus.methods.ape.heads import RefinedHead
from clipplus.methods.ape.model import FewShotClassifier
from clipplus.methods.ape.pictures import save_importance
from clipplus.methods.ape.search_on import (
    SearchPlan,
    accuracies,
    describe,
    image_names,
    require_no_shots,
    require_no_tested,
    save_table,
    search,
    search_record,
)
from clipplus.methods.ape.stored_views import StoredFeatures, StoredViews
from clipplus.text.bank import cache_folder

#: What `tools/test.py` loads.
RESULT = "best.pth"
#: Picture of the channels, for heads that select some.
IMPORTANCE = "channels.png"


@LOOPS.register_module()
class FewShotFitLoop(StepLoop):
    """Fits a `FewShotClassifier` and writes `best.pth`, which holds all that a test needs.

    1. class texts (`model.text_bank`), whose tower is dropped again;
    2. features of all views of the few shots, of which the head is fitted, and of the validation images. They are kept
       in a `FeatureCache`: a second run with the same images and tower opens no image;
    3. for heads that train, `max_epochs` epochs, validated on the stored features;
    4. the weights of the best validation, if `default_hooks.checkpoint.save_best` names its metric;
    5. the search for alpha, beta and gamma, whose whole table is `search.npz`, and one more validation.

    A run that is killed in any of them and resumed ends in the same `best.pth`. Every rank does the same steps on the
    same batches (`ReplicatedBatches`, `ReplicatedModel`), while extraction and search are shared, so that any number of
    ranks ends in the same `best.pth`, too.

    Args:
        runner: mmengine's Runner.
        dataloader: as of `StepLoop`; its data set's pipeline augments.
        max_epochs: of the training; 0 for heads that do not train; or
        max_iters: the training's length in updates.
        val_interval: see `StepLoop`.
        num_views: A, augmented views of each shot whose mean is the key; published: 10.
        view_mean: 'raw', as published: views of larger norm weigh more in the mean. 'unit': all weigh the same.
        feature_cache: folder of stored features; None takes `features` in clipplus' cache folder.
        feature_dtype: what is stored: 'float32', 'float16' or 'bfloat16'. float16 moves cosines by up to 7e-5.
        train_features: 'views': epoch e trains on stored view e mod A. 'live', as published: images are augmented anew
            and go through the tower in every epoch.
        search: options of a `SearchPlan`; None keeps the head's values.

    Attributes:
        result_file: name of the file that the run ends in, once it is there.

    Raises:
        ValueError: options out of range, another model than `FewShotClassifier`, averaged weights (EMAHook); data and
            texts that do not fit, images that cannot be read, a search on images that are shots or are tested.
    """

    dataloader: Any

    def __init__(
        self,
        runner: Any,
        dataloader: dict | DataLoader,
        max_epochs: int | None = None,
        max_iters: int | None = None,
        val_interval: int = 1,
        num_views: int = 10,
        view_mean: Literal["raw", "unit"] = "raw",
        feature_cache: str | None = None,
        feature_dtype: str = "float32",
        train_features: Literal["views", "live"] = "views",
        search: dict | None = None,
    ) -> None:
        if num_views < 1:
            raise ValueError(f"train_cfg.num_views must be at least 1, got {num_views}")
        if view_mean not in ("raw", "unit"):
            raise ValueError(f"train_cfg.view_mean must be 'raw' or 'unit', got '{view_mean}'")
        if train_features not in ("views", "live"):
            raise ValueError(f"train_cfg.train_features must be 'views' or 'live', got '{train_features}'")
        super().__init__(runner, dataloader, max_epochs, max_iters, val_interval)
        self.model: FewShotClassifier = unwrapped(runner.model)  # type: ignore[assignment]
        if not isinstance(self.model, FewShotClassifier):
            raise ValueError(f"FewShotFitLoop fits a FewShotClassifier, got {type(self.model).__name__}")
        self.num_views, self.view_mean = num_views, view_mean
        self.train_features, self.feature_dtype = train_features, feature_dtype
        self.cache = FeatureCache(feature_cache or cache_folder() / "features")
        self.plan = None if search is None else SearchPlan.from_config(search)
        if self.plan is not None and self.head.searched:
            self.plan.grid(self.head)
        trains = any(parameter.requires_grad for parameter in self.head.parameters())
        if trains and self.plan is not None and self.plan.on == "loo":
            raise ValueError(
                f"train_cfg.search.on='loo' is for heads that do not train: {type(self.head).__name__} has learnt the "
                "shots that it would be asked about; search on 'val'"
            )
        if self._max_iters and not trains:
            raise ValueError(f"{type(self.head).__name__} has nothing to train: set train_cfg.max_epochs=0")
        self._image_loader = self.dataloader
        self._stored: dict[str, ImageFeatures] = {}
        self.result_file: str | None = None

    @property
    def head(self) -> CacheHead:
        """The head that is fitted."""
        return self.model.head

    # --------------------------------------------------------------------------------------------------- the whole run

    def _run(self) -> None:
        if any(isinstance(hook, EMAHook) for hook in self.runner.hooks):
            raise ValueError("EMAHook averages weights that have no size before the fit: remove it from custom_hooks")
        self._take_position()
        self._hook = self._find_record_hook()
        self._fit()
        self._store_validation()
        super()._run()

    def _train(self, batches: Iterator[Any]) -> None:
        super()._train(batches)
        self._conclude()

    def _find_record_hook(self) -> FitRecordHook:
        for hook in self.runner.hooks:
            if isinstance(hook, FitRecordHook):
                return hook
        hook = FitRecordHook()
        self.runner.register_hook(hook)
        return hook

    @property
    def _checkpoints(self) -> RunCheckpointHook | None:
        return next((hook for hook in self.runner.hooks if isinstance(hook, RunCheckpointHook)), None)

    def _may_leave(self) -> None:
        self.runner.call_hook("may_leave")

    # ------------------------------------------------------------------------------------------------- texts and cache

    def _fit(self) -> None:
        """Fill the head, or keep what a resumed checkpoint filled it with."""
        dataset = self._image_loader.dataset
        classes = list(dataset.metainfo.get("classes") or ())
        bank = self.model.build_text_bank()
        names = list(bank.classes or classes)
        _require_classes(names, classes)
        config = self.runner.cfg.train_dataloader
        parts = self._parts(dataset, config.dataset, self.num_views, self.runner.seed)
        shots = self._features("train", parts, dataset, config, self.num_views)
        record = dict(
            features=parts, classes=names, texts=fingerprint(bank.class_prompts(names)),
            text_tower=None if bank.tower is None else _tower_identity(bank.tower),
            head=_head_options(self.runner.cfg.model.head),
            shots=[[name, int(label)] for name, label in zip(shots.ids, shots.labels, strict=True)],
            seed=self.runner.seed, num_views=self.num_views, view_mean=self.view_mean,
            train_features=self.train_features,
        )  # fmt: skip
        if not self._keeps_loaded_head(record):
            self._fill_head(bank, names, shots)
        self._hook.record = record
        self._stored["train"] = shots
        if self.train_features == "views":
            self._train_on(shots, names)

    def _keeps_loaded_head(self, record: dict[str, Any]) -> bool:
        """Whether a checkpoint has brought the cache that this run would make; a resumed run is refused another one."""
        loaded = self._hook.resumed
        if not self.head.is_fitted or loaded is None:
            return False
        source, changed = self.runner._load_from, changed_fit(loaded, record)
        if changed and self.runner._resume:
            raise ValueError(
                f"{source} was saved by a run that differs in {', '.join(changed)}: the resumed run would not be the "
                "same run. Start anew in another --work-dir; stored features are used again where they fit"
            )
        if changed:
            print_log(
                f"the classifier in load_from={source} was fitted with other {', '.join(changed)}: it is replaced by a "
                "new fit (clipplus ape extend adds shots to a fitted one)",
                logger="current", level=logging.WARNING,
            )  # fmt: skip
        return not changed

    def _fill_head(self, bank: Any, names: list[str], shots: ImageFeatures) -> None:
        device = self.head.alpha.device
        tower = None if bank.tower is None else bank.tower.to(device).eval()
        text = bank.embeddings(tower, names, cache=True)
        keys = shots.unit_features(view_mean=self.view_mean)
        # What a runner made float64 stays it.
        dtype = self.head.text_weight.dtype
        self.head.fit(text.to(dtype), keys.to(device, dtype), shots.labels.to(device), names, list(shots.ids))
        cache = f"{len(shots.labels)} keys of {len(names)} classes"
        if isinstance(self.head, RefinedHead):
            print_log(f"cache: {cache}, {self.head.describe_channels()}", logger="current")
            save_importance(Path(self.runner.work_dir) / "pictures" / IMPORTANCE, cache, self.head)
        else:
            print_log(f"cache: {cache}", logger="current")

    def _train_on(self, shots: ImageFeatures, names: list[str]) -> None:
        """Epochs read stored views from now on, in the order and batches of the images."""
        dataset = StoredViews(StoredFeatures(shots, names))
        self.dataloader = DataLoader(
            dataset, batch_sampler=self.batches, collate_fn=self._image_loader.collate_fn, num_workers=0
        )

    # -------------------------------------------------------------------------------------------------- stored features

    def _parts(self, dataset: Any, config: Mapping[str, Any], num_views: int, seed: int | None) -> dict[str, Any]:
        tower = self.model.image_tower
        preprocessor = self.model.data_preprocessor
        known = getattr(preprocessor, "identity", None) or repr(preprocessor)
        identity = {"name": "features"} if tower is None else _tower_identity(tower)
        return feature_parts(identity, known, dataset, config, num_views, seed, self.feature_dtype)

    def _features(
        self, name: str, parts: Mapping[str, Any], dataset: Any, loader: Mapping[str, Any], num_views: int = 1
    ) -> ImageFeatures:
        self.model.eval()
        seed = parts["seed"] or 0
        found = cached_features(
            self.cache, name, parts, dataset, loader, self._embed, num_views, seed, self.feature_dtype, self._may_leave
        )
        return ImageFeatures(found.features, found.labels, found.ids)

    def _embed(self, batch: Mapping[str, Any]) -> Tensor:
        return self.model.extract_feat(self.model.data_preprocessor(batch, False)["inputs"]).float()

    def _store_validation(self) -> None:
        """Validate on stored features from now on."""
        loop = self.runner.val_loop
        if loop is None:
            return
        sets = getattr(loop, "loaders", None)
        if sets is None:
            raise ValueError("FewShotFitLoop needs val_cfg=dict(type='MultiDatasetValLoop')")
        shots = image_names(self._image_loader.dataset)
        tested = self._tested() if self._chooses_on_validation() else []
        for name, loader in sets.items():
            config = _set_config(self.runner.cfg.val_dataloader, name)
            require_no_shots(shots, image_names(loader.dataset), f"val_dataloader.sets.{name}")
            require_no_tested(image_names(dataset_of(loader)), tested, f"val set '{name}'")
            images = self._evaluation_features("val", name, loader.dataset, config)
            stored = StoredFeatures(images, loader.dataset.metainfo.get("classes"))
            own: dict[str, Any] = {key: config[key] for key in ("batch_size", "collate_fn") if key in config}
            own |= dict(num_workers=0, persistent_workers=False, dataset=_keyed(stored))
            loop.loaders[name] = build_evaluation_loader(own, self.runner.seed, name)
        loop.dataloader = next(iter(loop.loaders.values()))

    def _chooses_on_validation(self) -> bool:
        """Whether values or the best epoch are chosen on it, and nobody asked to choose on test."""
        if self.plan is not None and self.plan.on == "test":
            return False
        checkpoints = self._checkpoints
        keeps_best = self._max_iters > 0 and checkpoints is not None and checkpoints.save_best is not None
        return keeps_best or (self.plan is not None and self.plan.on == "val" and bool(self.head.searched))

    def _evaluation_features(self, mode: str, name: str, dataset: Any, config: Mapping[str, Any]) -> ImageFeatures:
        parts = self._parts(dataset, config["dataset"], 1, None)
        self._stored[f"{mode}-{name}"] = self._features(f"{mode}-{name}", parts, dataset, config)
        return self._stored[f"{mode}-{name}"]

    def test_images(self, name: str) -> ImageFeatures:
        """Stored features of a test set, also for who tests many fits on the same images.

        Raises:
            ValueError: a shot is among them.
        """
        config = _set_config(self.runner.cfg.test_dataloader, name)
        dataset = _keyed(DATASETS.build(config["dataset"]))
        require_no_shots(image_names(self._image_loader.dataset), image_names(dataset), f"test set '{name}'")
        return self._evaluation_features("test", name, dataset, config)

    # ------------------------------------------------------------------------------------------ best epoch and search

    def _conclude(self) -> None:
        """What comes after the training; a resumed run may come here at once."""
        checkpoints = self._checkpoints
        if checkpoints is not None and self._max_iters:
            checkpoints.save_position(self.runner)
        self.chooses = False
        self._restore_best(checkpoints)
        self._search()
        self._write_result(checkpoints)
        if self.runner.val_loop is not None:
            self.runner.val_loop.run()

    def _write_result(self, checkpoints: RunCheckpointHook | None) -> None:
        if checkpoints is not None:
            checkpoints.save_weights(self.runner, RESULT)
            self.result_file = RESULT

    def _restore_best(self, checkpoints: RunCheckpointHook | None) -> None:
        best = None if checkpoints is None else checkpoints.best_file
        if best is None:
            return
        state = load_restricted(best)["state_dict"]
        self.head.load_state_dict({k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")})
        self._hook.record["best_epoch"] = best.stem
        print_log(f"going on with the weights of the best validation, {best.name}", logger="current")

    def _search(self) -> None:
        plan = self.plan
        if plan is None or not self.head.searched:
            return
        if plan.on == "val" and self.runner.val_loop is None:
            print_log(
                "no validation data: alpha, beta and gamma stay at their initial values; "
                "train_cfg.search.on='loo' chooses them on the shots",
                logger="current", level=logging.WARNING,
            )  # fmt: skip
            return
        where, images = self._search_images(plan)
        self.model.eval()
        before = accuracies(self.head, images)
        result = search(self.head, images, plan)
        self.head.choose(**{name: result.best[name] for name in self.head.searched})
        self._hook.record["search"] = search_record(result, before, plan, where)
        save_table(Path(self.runner.work_dir) / "search.npz", result)
        level = logging.WARNING if plan.on == "test" else logging.INFO
        print_log(describe(result, self.head.searched, before, plan, where), logger="current", level=level)

    def _search_images(self, plan: SearchPlan) -> tuple[str, ImageFeatures]:
        if plan.on == "loo":
            return "the shots, each without itself", self._stored["train"]
        config = self.runner.cfg[f"{plan.on}_dataloader"]
        names = list(config.get("sets") or ())
        name = plan.set or names[0]
        if name not in names:
            raise ValueError(f"train_cfg.search.set='{name}' is none of {plan.on}_dataloader.sets: {', '.join(names)}")
        if plan.on == "val":
            return f"val set '{name}'", self._stored[f"val-{name}"]
        return f"TEST set '{name}'", self.test_images(name)

    def _tested(self) -> list[str]:
        """Names of all test images that can be found here; a fit needs no test data."""
        config = self.runner.cfg.get("test_dataloader") or {}
        found: list[str] = []
        for name in config.get("sets") or ():
            found += _names_if_here(_set_config(config, name)["dataset"], name)
        return found


def _names_if_here(config: dict[str, Any], name: str) -> list[str]:
    try:
        return image_names(_keyed(DATASETS.build(config)))
    except FileNotFoundError:
        print_log(f"test set '{name}' is not here: not compared with what is searched", logger="current")
        return []


def _keyed(dataset: Any) -> Any:
    return dataset if isinstance(dataset, KeyedDataset) else KeyedDataset(dataset)


def _set_config(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The loader of one set with the defaults of all."""
    defaults = {key: value for key, value in config.items() if key != "sets"}
    return {**defaults, **config["sets"][name]}


def _tower_identity(tower: Any) -> dict[str, Any]:
    config = tower.config
    settings = [config.embed_dim, config.vision_cfg, config.text_cfg, config.quick_gelu]
    return dict(name=config.name, settings=fingerprint(settings), weights=tower_hash(tower.state_dict()))


def _head_options(head: ConfigDict) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in head.to_dict().items()}


def _require_classes(names: list[str], classes: list[str]) -> None:
    """The bank's names are those of the data, which may spell them otherwise, so that only their number can tell."""
    if not names:
        raise ValueError("neither the training data nor model.text_bank.classes names the classes")
    if len(names) < 2:
        raise ValueError(f"train_dataloader's data has one class, '{names[0]}': a classifier needs at least 2")
    if classes and len(names) != len(classes):
        first = next((i for i, pair in enumerate(zip(names, classes, strict=False)) if pair[0] != pair[1]), None)
        differ = (
            "" if first is None else f"; number {first} is the first to differ: '{names[first]}', '{classes[first]}'"
        )
        raise ValueError(
            f"model.text_bank names {len(names)} classes, but the training data has {len(classes)}{differ}"
        )
