# UCF101: training and validation besides the test.
_base_ = ['./few_shot_ucf101_test.py', './few_shot_training.py']

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            dataset=dict(
                _base_.videos, ann_file=_base_.splits + 'ucf101/train.txt', pipeline=_base_.random_clip))))
val_videos = dict(
    _base_.videos, ann_file=_base_.splits + 'ucf101/val.txt', test_mode=True, pipeline=_base_.middle_clip)
val_dataloader = dict(
    sets=dict(
        ucf101_1shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='EpisodeDataset',
                split='val',
                way=5,
                shots=1,
                queries=1,
                num_episodes=10000,
                dataset=val_videos))))
val_evaluator = dict(sets=dict(ucf101_1shot=dict(type='FewShotAccuracy')))
del val_videos
