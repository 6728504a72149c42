# Something-Something V2, 100 videos a class: training and validation besides the test.
_base_ = ['./few_shot_ssv2-small_test.py', './few_shot_training.py']

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            dataset=dict(
                _base_.videos, ann_file=_base_.splits + 'ssv2_small/train.txt', pipeline=_base_.random_clip))))
val_videos = dict(
    _base_.videos, ann_file=_base_.splits + 'ssv2_small/val.txt', test_mode=True, pipeline=_base_.middle_clip)
val_dataloader = dict(
    sets=dict(
        ssv2_small_1shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='EpisodeDataset',
                split='val',
                way=5,
                shots=1,
                queries=1,
                num_episodes=10000,
                dataset=val_videos))))
val_evaluator = dict(sets=dict(ssv2_small_1shot=dict(type='FewShotAccuracy')))
del val_videos
