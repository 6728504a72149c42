# The moving shapes as mp4 files with lists, as a downloaded data set would come; before the first run:
#   python tools/data/shapes_videos.py data/shapes_video
# Classes are motions; those of validation and test are never trained on.
data_root = 'data/shapes_video/'
# Decoding a file takes some 9 ms, reading 8 frames from here less than one.
frame_cache = dict(folder=data_root + 'frames', size=(64, 64))
sample = dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8)
pack = [
    dict(type='ClipDecode'),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
# Of evaluation: the middles of eight stretches instead of draws.
middles = [dict(type='ClipInit', frame_cache=frame_cache), dict(sample, test_mode=True), *pack]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    worker_init_fn=dict(type='quiet_worker'),
    sampler=dict(type='EpochOrder'),
    batch_sampler=dict(type='GlobalBatches'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='KeyedDataset',
        dataset=dict(
            type='EpisodeDataset',
            split='train',
            way=5,
            shots=1,
            queries=2,
            num_episodes=400,
            dataset=dict(
                type='FewShotVideoDataset',
                ann_file='train.txt',
                data_root=data_root,
                data_prefix=dict(video='videos'),
                classes_file=data_root + 'classes.json',
                pipeline=[dict(type='ClipInit', frame_cache=frame_cache), sample, *pack]))))

val_videos = dict(
    type='FewShotVideoDataset',
    ann_file='val.txt',
    data_root=data_root,
    data_prefix=dict(video='videos'),
    classes_file=data_root + 'classes.json',
    test_mode=True,
    pipeline=middles)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sets=dict(
        shapes_1shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(type='EpisodeDataset', split='val', way=5, shots=1, num_episodes=500, dataset=val_videos)),
        shapes_5shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(type='EpisodeDataset', split='val', way=5, shots=5, num_episodes=500, dataset=val_videos))))
val_evaluator = dict(
    sets=dict(shapes_1shot=dict(type='FewShotAccuracy'), shapes_5shot=dict(type='FewShotAccuracy')))
val_cfg = dict(type='FeatureCacheValLoop')

test_episodes = dict(
    type='EpisodeDataset',
    split='test',
    way=5,
    num_episodes=10000,
    dataset=dict(
        type='FewShotVideoDataset',
        ann_file='test.txt',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        classes_file=data_root + 'classes.json',
        test_mode=True,
        pipeline=middles))
collate_fn = dict(type='pseudo_collate')
# All numbers of shots in one pass: every video is encoded once.
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sets=dict(
        shapes_1shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=1)),
        shapes_2shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=2)),
        shapes_3shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=3)),
        shapes_4shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=4)),
        shapes_5shot=dict(collate_fn=collate_fn, dataset=dict(test_episodes, shots=5))))
test_evaluator = dict(
    sets=dict(
        shapes_1shot=dict(type='FewShotAccuracy'),
        shapes_2shot=dict(type='FewShotAccuracy'),
        shapes_3shot=dict(type='FewShotAccuracy'),
        shapes_4shot=dict(type='FewShotAccuracy'),
        shapes_5shot=dict(type='FewShotAccuracy')))
test_cfg = dict(type='FeatureCacheTestLoop')
# Not options: what was set here would no longer reach the sets.
del test_episodes, collate_fn
