"""Frame features of videos, each encoded once however many episodes it is in.

Shape letters of this file: V videos, E episodes, N clips of an episode, T frames, D joint width.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_dist_info, is_main_process
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from clipplus.data import next_batch, quiet_worker
from clipplus.evaluation import ImageFeatures
from clipplus.few_shot_video.episode_dataset import EpisodeDataset
from clipplus.few_shot_video.recognizer import FewShotRecognizer

# Fewer batches than this need no progress bar.
_LONG = 20


class VideoFeatures:
    """What a recogniser's backbone makes of the videos of a data set, as far as they were asked for.

    A support's features may depend on the text of its class; those are kept beside the others then.

    Args:
        model: the recogniser, in eval mode.
        clips_per_batch: clips encoded at a time.
        num_workers: processes that load them.
        stored: reads or makes the stored features of all videos, from a function that computes stretches of them, see
            `cached_in_stretches`. A video is an image there whose views are its frames, and, where texts matter, its
            frames as a support. Without it nothing is stored, and only what episodes show is encoded.

    Attributes:
        frames_encoded: by all ranks together.
    """

    def __init__(
        self,
        model: FewShotRecognizer,
        clips_per_batch: int = 16,
        num_workers: int = 0,
        stored: Callable[[Callable[[Sequence[range]], Iterator[ImageFeatures]]], ImageFeatures] | None = None,
    ) -> None:
        self.model = model
        self.stored = stored
        self.clips_per_batch = clips_per_batch
        self.num_workers = num_workers
        self.frames_encoded = 0
        self._unreadable: set[int] = set()
        self._row: dict[int, int] = {}
        self._plain = torch.empty(0)
        self._with_text: Tensor | None = None

    def provide(self, episodes: EpisodeDataset, indices: Sequence[int]) -> None:
        """Encode all videos of some episodes that are not known yet; every rank must call it with the same ones.

        Ranks share the work and give each other the results. Stored features hold no unreadable video: one that an
        episode shows is tried once more, so that it is listed, or refused, as without them.

        Raises:
            ValueError: a video that cannot be read, where none is passed over.
            RuntimeError: too many of them.
        """
        if self.stored is not None and not self._row:
            self._take_stored(self.stored, episodes)
        while True:
            episodes.pass_over(self._unreadable)
            drawn = {video for index in indices for video in episodes.draw(index).videos}
            missing = sorted(drawn - self._row.keys())
            if not missing:
                return
            self._encode(episodes, missing)

    def clips(self, videos: Tensor, support: bool) -> Tensor:
        """Features (E, N, T, D) of videos (E, N), on the model's device.

        Args:
            videos: numbers of videos that `provide` was asked for.
            support: as supports, which may know the text of their class, or as queries.
        """
        stored = self._with_text if support and self._with_text is not None else self._plain
        rows = torch.tensor([self._row[video] for video in videos.flatten().tolist()], device=stored.device)
        return stored[rows].unflatten(0, tuple(videos.shape))

    def _encode(self, episodes: EpisodeDataset, videos: list[int]) -> None:
        rank, ranks = get_dist_info()
        found = self._encode_share(episodes, videos[rank::ranks])
        for of_rank in all_gather_object(found):
            self._unreadable.update(of_rank.pop("unreadable"))
            self._take(**of_rank)

    def _take_stored(self, stored: Callable[..., ImageFeatures], episodes: EpisodeDataset) -> None:
        encoded = 0

        def compute(stretches: Sequence[range]) -> Iterator[ImageFeatures]:
            nonlocal encoded
            for videos in stretches:
                share = self._encode_share(episodes, list(videos))
                stretch = _as_stretch(share, episodes)
                encoded += stretch.features.shape[0] * len(stretch.ids)
                yield stretch

        found = stored(compute)
        known = [int(name.split(" ", 1)[0]) for name in found.ids]
        if known:
            clips = found.features.transpose(0, 1)
            plain, *texted = clips.chunk(2, dim=1) if self.model.needs_text else (clips,)
            self._take(known, plain, texted[0] if texted else None)
        self.frames_encoded = sum(all_gather_object(encoded))

    def _take(self, videos: list[int], plain: Tensor, with_text: Tensor | None) -> None:
        if not videos:
            return
        device = next(self.model.parameters()).device
        self._row.update({video: len(self._plain) + i for i, video in enumerate(videos)})
        self._plain = _appended(self._plain, plain.to(device))
        if with_text is not None:
            self._with_text = _appended(self._with_text, with_text.to(device))
        self.frames_encoded += plain.shape[0] * plain.shape[1] * (1 if with_text is None else 2)

    def _encode_share(self, episodes: EpisodeDataset, videos: list[int]) -> dict[str, Any]:
        """This rank's part, on the CPU."""
        loader = DataLoader(
            _Clips(episodes, videos), batch_size=self.clips_per_batch, num_workers=self.num_workers,
            collate_fn=list, worker_init_fn=quiet_worker,
        )  # fmt: skip
        read: list[int] = []
        plain, with_text = [], []
        batches = iter(loader)
        try:
            for _ in tqdm(range(len(loader)), "frame features", disable=len(loader) < _LONG or not is_main_process()):
                clips = [(video, clip) for video, clip in next_batch(batches) if clip is not None]
                if not clips:
                    continue
                read += [video for video, _ in clips]
                pixels = episodes.same_size([clip for _, clip in clips], [video for video, _ in clips])
                features, texted = self._encode_batch(episodes, torch.stack(pixels), [video for video, _ in clips])
                plain.append(features)
                with_text += [] if texted is None else [texted]
        finally:
            # Workers ignore SIGTERM (`quiet_worker`): after an error they would keep the process alive.
            if hasattr(batches, "_shutdown_workers"):
                batches._shutdown_workers()
        return dict(
            videos=read,
            unreadable=sorted(set(videos) - set(read)),
            plain=torch.cat(plain) if plain else torch.empty(0),
            with_text=torch.cat(with_text) if with_text else None,
        )

    @torch.no_grad()
    def _encode_batch(self, episodes: EpisodeDataset, clips: Tensor, videos: list[int]) -> tuple[Tensor, Tensor | None]:
        preprocessor: Any = self.model.data_preprocessor
        pixels = preprocessor.evaluation_pixels(preprocessor.cast_data(clips))
        plain = self.model.encode_clips(pixels).cpu()
        if not self.model.needs_text:
            return plain, None
        classes = torch.from_numpy(episodes.class_of_video[videos])
        text = self.model.class_text(episodes.classes)
        return plain, self.model.encode_clips(pixels, text[classes.to(text.device)]).cpu()


def _as_stretch(share: dict[str, Any], episodes: EpisodeDataset) -> ImageFeatures:
    """Features of some videos as they are stored; without any that could be read, no features at all."""
    videos = share["videos"]
    known = [part for part in (share["plain"], share["with_text"]) if part is not None]
    features = torch.cat(known, dim=1).transpose(0, 1) if videos else torch.empty(0)
    names = [f"{video} {episodes.name_of(video)}" for video in videos]
    return ImageFeatures(features, torch.from_numpy(episodes.class_of_video[videos]), names)


class _Clips(Dataset[tuple[int, Tensor | None]]):
    """The clips of some videos, as evaluation sees them."""

    def __init__(self, episodes: EpisodeDataset, videos: list[int]) -> None:
        self.episodes, self.videos = episodes, videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[int, Tensor | None]:
        return self.videos[index], self.episodes.clip(self.videos[index])


def _appended(known: Tensor | None, more: Tensor) -> Tensor:
    return more if known is None or len(known) == 0 else torch.cat([known, more])
