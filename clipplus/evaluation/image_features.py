"""Features of a data set's images under a frozen tower, with augmented views, shared between ranks and kept on disk.

Shape letters of this file: A views of every image, B images of a batch, N images, D channels of a feature.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.dist import barrier, get_rank, get_world_size, is_main_process
from mmengine.registry import FUNCTIONS
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from clipplus.checkpoints import fingerprint
from clipplus.checkpoints.provenance import file_fingerprint
from clipplus.data import KeyedDataset
from clipplus.data.keyed_dataset import BAD_SAMPLE_ERRORS, next_batch, quiet_worker
from clipplus.data.seeding import seed_all
from clipplus.evaluation.feature_cache import FeatureCache, ImageFeatures
from clipplus.evaluation.set_metric import on_main_process

#: Images between two points at which a run may be stopped without losing them.
STRETCH = 128
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
# What says where data lie or how they are held in memory, not what they are.
_WHERE = ("type", "pipeline", "data_root", "data_prefix", "lazy_init", "serialize_data", "test_mode", "max_refetch",
          "metainfo", "on_bad_sample", "max_bad_fraction", "dataset")  # fmt: skip


class Views(Dataset[list[Any]]):
    """Several augmented views of every image, which is read once; view a of image i is drawn from (seed, i, a) alone.

    Item i is a list of A packed samples.

    Args:
        dataset: a data set, perhaps wrapped (`dataset`), with `get_data_info` and, innermost, a `pipeline` in
            mmengine's form. Its pixels must not depend on anything but the pipeline's global random generators.
        num_views: A.
        seed: of all draws.
        where: what the data set belongs to, for messages.
    """

    def __init__(self, dataset: Any, num_views: int, seed: int, where: str) -> None:
        while isinstance(dataset, KeyedDataset):
            dataset = dataset.dataset
        self.dataset, self.num_views, self.seed, self.where = dataset, num_views, seed, where
        inner = dataset
        while not hasattr(inner, "pipeline") and hasattr(inner, "dataset"):
            inner = inner.dataset
        pipeline = getattr(inner, "pipeline", None)
        if pipeline is None:
            raise ValueError(f"{where}: {type(inner).__name__} has no pipeline, of which views could be drawn")
        transforms = list(getattr(pipeline, "transforms", [pipeline]))
        # Reading the file is by far the dearest step, and the same for all views.
        reads = sum(type(transform).__name__.startswith("LoadImage") for transform in transforms[:1])
        self._read, self._augment = transforms[:reads], transforms[reads:]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> list[Any]:
        """All views of an image.

        Raises:
            ValueError: the image cannot be read; names it.
        """
        try:
            seed_all(self.seed, "sample", 0, index)
            info = _through(self._read, self.dataset.get_data_info(index))
            return [self._view(info, view, index) for view in range(self.num_views)]
        except BAD_SAMPLE_ERRORS as error:
            info = self.dataset.get_data_info(index)
            name = info.get("img_path") or info.get("key") or index
            raise ValueError(f"{self.where}: image '{name}' cannot be read: {error}") from error

    def _view(self, info: Any, view: int, index: int) -> Any:
        seed_all(self.seed, "sample", view, index)
        return _through(self._augment, copy.deepcopy(info) if self.num_views > 1 else info)


def _through(transforms: Sequence[Callable[[Any], Any]], sample: Any) -> Any:
    for transform in transforms:
        sample = transform(sample)
        if sample is None:
            raise ValueError(f"{type(transform).__name__} gave nothing")
    return sample


@torch.no_grad()
def cached_features(
    cache: FeatureCache,
    name: str,
    parts: Mapping[str, Any],
    dataset: Any,
    loader: Mapping[str, Any],
    embed: Callable[[Any], Tensor],
    num_views: int = 1,
    seed: int = 0,
    dtype: str = "float32",
    may_leave: Callable[[], None] | None = None,
    stretch: int = STRETCH,
) -> ImageFeatures:
    """Features of all images of a data set: read from the cache, or computed and stored; all ranks call it together.

    The images are cut into stretches of equal length, which ranks take in turn. A stretch is computed in the same
    batches whoever does it, so that any number of ranks stores the same file to the last bit, and it is stored as soon
    as it is done, so that a run that is stopped goes on from there.

    Args:
        cache: where features are kept.
        name: of the file, e.g. 'train'.
        parts: see `FeatureCache`; of `feature_parts`, which must be given the same views, seed and dtype.
        dataset: see `Views`.
        loader: loader config, of which `batch_size`, `num_workers` and `collate_fn` are used.
        embed: from a batch of the loader's collate function to features (B, D).
        num_views: A.
        seed: of the augmentation.
        dtype: what is stored, 'float32', 'float16' or 'bfloat16'.
        may_leave: called between stretches; may end the run.
        stretch: length of a stretch.

    Raises:
        ValueError: an image that cannot be read, or whose feature is zero or not finite; an empty data set.
    """
    if dtype not in DTYPES:
        raise ValueError(f"feature dtype must be one of {', '.join(DTYPES)}, got '{dtype}'")
    if not len(dataset):
        raise ValueError(f"{name} has no images: check its ann_file, data_root and filters")

    def compute(stretches: Sequence[range]) -> Iterator[ImageFeatures]:
        views = Views(dataset, num_views, seed, name)
        batches = _batches(views, stretches, loader)
        for indices in stretches:
            yield _embed_stretch(views, indices, batches, embed, DTYPES[dtype])

    return cached_in_stretches(cache, name, parts, len(dataset), compute, may_leave, stretch)


def cached_in_stretches(
    cache: FeatureCache,
    name: str,
    parts: Mapping[str, Any],
    number: int,
    compute: Callable[[Sequence[range]], Iterator[ImageFeatures]],
    may_leave: Callable[[], None] | None = None,
    stretch: int = STRETCH,
) -> ImageFeatures:
    """Features of `number` samples: read from the cache, or computed and stored; all ranks call it together.

    See `cached_features`, of which this is the part that knows nothing of images.

    Args:
        cache: see there.
        name: see there.
        parts: see there.
        number: of samples.
        compute: from the stretches of a rank to an iterator of their features, each computed when it is asked for.
        may_leave: see there.
        stretch: see there.
    """
    # One rank looks, so that all agree even while somebody else is writing.
    if on_main_process(lambda: cache.read(name, parts) is not None):
        found = cache.read(name, parts)
        if found is not None:
            return found
    firsts = range(0, number, stretch)
    todo = [
        range(first, min(first + stretch, number))
        for first in firsts[get_rank() :: get_world_size()]
        if cache.read_stretch(name, parts, first) is None
    ]
    computed = compute(todo)
    for indices in tqdm(todo, f"features of {name}", disable=not is_main_process() or len(todo) < 3):
        if may_leave is not None:
            may_leave()
        cache.write_stretch(name, parts, indices[0], next(computed))
    barrier()
    on_main_process(lambda: cache.join_stretches(name, parts, firsts))
    found = cache.read(name, parts)
    if found is None:
        raise RuntimeError(f"features of {name} were just stored and cannot be read: {cache.path(name, parts)}")
    return found


def _embed_stretch(
    views: Views, indices: range, batches: Iterator[Any], embed: Callable[[Any], Tensor], dtype: torch.dtype
) -> ImageFeatures:
    """Features of the images `indices`, which the next batches hold."""
    features: list[Tensor] = []
    while sum(part.shape[1] for part in features) < len(indices):
        # (B * A, D), the views of an image together.
        features.append(embed(next_batch(batches)).cpu().unflatten(0, (-1, views.num_views)).transpose(0, 1))
    records = [sample_record(views.dataset, index) for index in indices]
    ids = [record[0] for record in records]
    stacked = torch.cat(features, dim=1)
    _require_usable(stacked, ids, views.where)
    return ImageFeatures(stacked.to(dtype), torch.tensor([record[-1] for record in records]), ids)


def _batches(views: Views, stretches: Sequence[range], loader: Mapping[str, Any]) -> Iterator[Any]:
    """Batches of all stretches, none of which reaches into the next; about `batch_size` views each."""
    size = max(1, loader["batch_size"] // views.num_views)
    parts = [list(indices[start : start + size]) for indices in stretches for start in range(0, len(indices), size)]
    collate = loader.get("collate_fn", dict(type="pseudo_collate"))
    function = FUNCTIONS.get(collate["type"]) if isinstance(collate, Mapping) else collate
    workers = loader.get("num_workers", 0)
    return iter(
        DataLoader(
            views, batch_sampler=parts, num_workers=workers, collate_fn=_CollateViews(function),
            worker_init_fn=quiet_worker if workers else None,
        )
    )  # fmt: skip


class _CollateViews:
    """Collates views of several images like a batch of as many samples; a class, since spawned workers pickle it."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, items: Sequence[list[Any]]) -> Any:
        return self.collate([view for item in items for view in item])


def _require_usable(features: Tensor, ids: Sequence[str], where: str) -> None:
    """Refuse features (A, N, D) without direction."""
    finite = features.isfinite().all(dim=2).all(dim=0)
    bad = (~finite | (features == 0).all(dim=2).any(dim=0)).nonzero().flatten().tolist()
    if bad:
        state = "zero" if finite[bad[0]] else "not finite"
        raise ValueError(
            f"{where}: the feature of image '{ids[bad[0]]}' is {state}: is the picture broken, or the tower's weights?"
        )


def feature_parts(
    tower: Mapping[str, Any],
    preprocessing: Any,
    dataset: Any,
    dataset_config: Mapping[str, Any],
    num_views: int = 1,
    seed: int | None = None,
    dtype: str = "float32",
    record: Callable[[Any, int], tuple[Any, ...]] | None = None,
) -> dict[str, Any]:
    """What the features of a data set depend on, as JSON-able parts of a `FeatureCache`'s fingerprint.

    Args:
        tower: identity of the image tower, e.g. its name and the hash of its weights.
        preprocessing: what happens to pixels behind the pipeline (mean, std, channel order).
        dataset: the data set, of which every image's path (below its root), size in bytes and label count.
        dataset_config: its config, of which the pipeline counts, and what it draws its images from.
        num_views: A.
        seed: of the augmentation, None where nothing is drawn.
        dtype: what is stored.
        record: from a data set and a position to what tells a sample apart; default `sample_record`, of an image.
    """
    config = ConfigDict(dataset_config).to_dict()
    records = [(record or sample_record)(dataset, index) for index in range(len(dataset))]
    parts = dict(
        tower=dict(tower), preprocessing=preprocessing, pipeline=_pipeline_of(config),
        data=_drawn_from(config, dataset), samples=fingerprint([len(records), records]), views=num_views, seed=seed,
        dtype=dtype,
    )  # fmt: skip
    return json.loads(json.dumps(parts, default=str))


def sample_record(dataset: Any, index: int) -> tuple[Any, ...]:
    """(id, size in bytes or None, label) of an image, without opening it; the id does not depend on the data's root."""
    if isinstance(dataset, KeyedDataset):
        return sample_record(dataset.dataset, index)
    if hasattr(dataset, "indices") and hasattr(dataset, "get_cat_ids"):
        # A selection: the whole data set knows what the image is called, the selection which class it counts as.
        return (*sample_record(dataset.dataset, dataset.indices[index])[:2], int(dataset.get_cat_ids(index)[0]))
    if hasattr(dataset, "sample_key"):
        return dataset.sample_key(index), None, int(dataset.get_cat_ids(index)[0])
    info = dataset.get_data_info(index)
    path = info.get("img_path")
    if path is None:
        return str(info.get("key", index)), None, int(info["gt_label"])
    file = Path(path)
    size = file.stat().st_size if file.is_file() else None
    return _below_root(dataset, path), size, int(info["gt_label"])


def _below_root(dataset: Any, path: str) -> str:
    """A path as seen from the data set's own folder."""
    inner = dataset
    roots: list[str] = []
    while inner is not None:
        prefix = (getattr(inner, "data_prefix", None) or {}).get("img_path")
        folders = (prefix, getattr(inner, "image_folder", None), getattr(inner, "data_root", None))
        roots += [str(folder) for folder in folders if folder]
        inner = getattr(inner, "dataset", None)
    for root in roots:
        if Path(path).is_relative_to(root):
            return Path(path).relative_to(root).as_posix()
    return Path(path).as_posix()


def _pipeline_of(config: Mapping[str, Any]) -> Any:
    while "pipeline" not in config and isinstance(config.get("dataset"), Mapping):
        config = config["dataset"]
    return config.get("pipeline", [])


def _drawn_from(config: Mapping[str, Any], dataset: Any) -> Any:
    """Options of the innermost data set that decide what its images are, and the content of a file that holds them."""
    while isinstance(config.get("dataset"), Mapping):
        config, dataset = config["dataset"], getattr(dataset, "dataset", None)
    options = {key: value for key, value in config.items() if key not in _WHERE}
    file = getattr(dataset, "path", None)
    content = {"content": file_fingerprint(Path(file))} if isinstance(file, str) and Path(file).is_file() else {}
    return {"type": str(config.get("type")), **options, **content}
