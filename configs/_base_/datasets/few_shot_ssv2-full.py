# Something-Something V2, all videos: training and validation besides the test.
_base_ = ['./few_shot_ssv2-full_test.py', './few_shot_training.py']

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            dataset=dict(
                _base_.videos, ann_file=_base_.splits + 'ssv2_full/train.txt', pipeline=_base_.random_clip))))
# No names of its validation classes were published; tools/data/few_shot_splits.py finds them in the labels of the data set.
val_videos = dict(
    _base_.videos,
    classes_file=None,
    ann_file=_base_.splits + 'ssv2_full/val.txt',
    test_mode=True,
    pipeline=_base_.middle_clip)
val_dataloader = dict(
    sets=dict(
        ssv2_full_1shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='EpisodeDataset',
                split='val',
                way=5,
                shots=1,
                queries=1,
                num_episodes=10000,
                dataset=val_videos))))
val_evaluator = dict(sets=dict(ssv2_full_1shot=dict(type='FewShotAccuracy')))
del val_videos
