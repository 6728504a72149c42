# UCF101, 70 / 10 / 21 classes (Zhang et al. 2020); a folder per class.
_base_ = ['./few_shot_clips.py']
videos = dict(
    type='FewShotVideoDataset',
    data_root='data/ucf101',
    data_prefix=dict(video='videos'),
    classes_file=_base_.splits + 'ucf101/classes.json')

test_episodes = dict(
    type='EpisodeDataset',
    split='test',
    way=5,
    queries=1,
    num_episodes=10000,
    dataset=dict(videos, ann_file=_base_.splits + 'ucf101/test.txt', test_mode=True, pipeline=_base_.middle_clip))
collate_fn = dict(type='pseudo_collate')
test_dataloader = dict(
    sets=dict(
        ucf101_1shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=1)),
        ucf101_2shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=2)),
        ucf101_3shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=3)),
        ucf101_4shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=4)),
        ucf101_5shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=5))))
test_evaluator = dict(
    sets=dict(
        ucf101_1shot=dict(type='FewShotAccuracy'),
        ucf101_2shot=dict(type='FewShotAccuracy'),
        ucf101_3shot=dict(type='FewShotAccuracy'),
        ucf101_4shot=dict(type='FewShotAccuracy'),
        ucf101_5shot=dict(type='FewShotAccuracy')))
# Not options: what was set here would no longer reach the sets.
del test_episodes, collate_fn
