# Kinetics-100: training and validation besides the test.
_base_ = ['./few_shot_kinetics100_test.py', './few_shot_training.py']

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            dataset=dict(
                _base_.videos, ann_file=_base_.splits + 'kinetics100/train.txt', pipeline=_base_.random_clip))))
val_videos = dict(
    _base_.videos, ann_file=_base_.splits + 'kinetics100/val.txt', test_mode=True, pipeline=_base_.middle_clip)
val_dataloader = dict(
    sets=dict(
        kinetics100_1shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='EpisodeDataset',
                split='val',
                way=5,
                shots=1,
                queries=1,
                num_episodes=10000,
                dataset=val_videos))))
val_evaluator = dict(sets=dict(kinetics100_1shot=dict(type='FewShotAccuracy')))
del val_videos

# Queries of training alone are mirrored and recoloured; for model.data_preprocessor.
query_draws = dict(query_flip=0.5, query_jitter=dict(strength=0.5, hue_shift=0.25, gray_probability=0.3))
