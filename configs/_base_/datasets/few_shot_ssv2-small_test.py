# Something-Something V2, 100 videos of each of 64 / 12 / 24 classes (Zhu and Yang 2018); one flat folder of .webm files.
_base_ = ['./few_shot_clips.py']
videos = dict(
    type='FewShotVideoDataset',
    data_root='data/sthv2',
    data_prefix=dict(video='videos'),
    suffix='.webm',
    classes_file=_base_.splits + 'ssv2_small/classes.json')

test_episodes = dict(
    type='EpisodeDataset',
    split='test',
    way=5,
    queries=1,
    num_episodes=10000,
    dataset=dict(videos, ann_file=_base_.splits + 'ssv2_small/test.txt', test_mode=True, pipeline=_base_.middle_clip))
collate_fn = dict(type='pseudo_collate')
test_dataloader = dict(
    sets=dict(
        ssv2_small_1shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=1)),
        ssv2_small_2shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=2)),
        ssv2_small_3shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=3)),
        ssv2_small_4shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=4)),
        ssv2_small_5shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=5))))
test_evaluator = dict(
    sets=dict(
        ssv2_small_1shot=dict(type='FewShotAccuracy'),
        ssv2_small_2shot=dict(type='FewShotAccuracy'),
        ssv2_small_3shot=dict(type='FewShotAccuracy'),
        ssv2_small_4shot=dict(type='FewShotAccuracy'),
        ssv2_small_5shot=dict(type='FewShotAccuracy')))
# Not options: what was set here would no longer reach the sets.
del test_episodes, collate_fn
