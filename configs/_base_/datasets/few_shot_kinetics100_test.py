# Kinetics-400, 100 videos of each of 64 / 12 / 24 classes (Zhu and Yang 2018); folders train_256 and val_256.
_base_ = ['./few_shot_clips.py']
videos = dict(
    type='FewShotVideoDataset',
    data_root='data/kinetics400',
    data_prefix=dict(video=''),
    classes_file=_base_.splits + 'kinetics100/classes.json')
# 8 frames that are 35 apart at 12 frames per second, as far as the video is long enough (CLIP-FSAR's).
stride = dict(type='StrideSampleFrames', num_frames=8, stride=35, target_fps=12)
random_clip = [_base_.opened, stride, *_base_.pack]
middle_clip = [_base_.opened, dict(stride, test_mode=True), *_base_.pack]

test_episodes = dict(
    type='EpisodeDataset',
    split='test',
    way=5,
    queries=1,
    num_episodes=10000,
    dataset=dict(videos, ann_file=_base_.splits + 'kinetics100/test.txt', test_mode=True, pipeline=middle_clip))
collate_fn = dict(type='pseudo_collate')
test_dataloader = dict(
    sets=dict(
        kinetics100_1shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=1)),
        kinetics100_2shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=2)),
        kinetics100_3shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=3)),
        kinetics100_4shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=4)),
        kinetics100_5shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=5))))
test_evaluator = dict(
    sets=dict(
        kinetics100_1shot=dict(type='FewShotAccuracy'),
        kinetics100_2shot=dict(type='FewShotAccuracy'),
        kinetics100_3shot=dict(type='FewShotAccuracy'),
        kinetics100_4shot=dict(type='FewShotAccuracy'),
        kinetics100_5shot=dict(type='FewShotAccuracy')))
# Not options: what was set here would no longer reach the sets.
del test_episodes, collate_fn
