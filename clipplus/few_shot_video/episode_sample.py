"""What is known of an episode besides its pixels, and what was predicted for it."""

from mmengine.structures import BaseDataElement


class EpisodeDataSample(BaseDataElement):
    """An episode of W ways, S supports and Q queries. Labels are 0..W-1 and count within the episode.

    Fields of the data:
        support_label (S,), query_label (Q,): int64.
        support_class (S,), query_class (Q,), way_class (W,): int64, class ids of the split.
        support_video (S,), query_video (Q,): int64, numbers of the videos in their data set.
        aug_seed (S + Q,): int64, of what is drawn on the device for each clip, supports first.

    Fields of a prediction:
        pred_score (Q, W): higher is more likely; float32. Heads may add others (`text_score`, `fused_score`).

    Meta information:
        episode_id, sample_id: number of the episode. `sample_id` is what metrics tell samples apart by.
        classes: names of all classes of the split, by class id; None where the data set names none.
    """
