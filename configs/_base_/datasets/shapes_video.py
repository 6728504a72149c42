# Moving shapes that the program draws itself: nothing to download. Classes are motions; those of validation and test are
# never trained on.
sample = dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8)
pack = [dict(type='ArrayDecode'), dict(type='FormatShape', input_format='NCHW'), dict(type='PackActionInputs')]

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
            dataset=dict(type='ShapesVideoDataset', split='train', videos_per_class=40, pipeline=[sample, *pack]))))

val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sets=dict(
        shapes_1shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='EpisodeDataset',
                split='val',
                way=5,
                shots=1,
                num_episodes=500,
                dataset=dict(
                    type='ShapesVideoDataset',
                    split='val',
                    videos_per_class=20,
                    test_mode=True,
                    pipeline=[dict(sample, test_mode=True), *pack])))))
val_evaluator = dict(sets=dict(shapes_1shot=dict(type='FewShotAccuracy')))
val_cfg = dict(type='FeatureCacheValLoop')

test_videos = dict(
    type='ShapesVideoDataset',
    split='test',
    videos_per_class=30,
    test_mode=True,
    pipeline=[dict(sample, test_mode=True), *pack])
test_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sets=dict(
        shapes_1shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='EpisodeDataset', split='test', way=5, shots=1, num_episodes=10000, dataset=test_videos)),
        shapes_5shot=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='EpisodeDataset', split='test', way=5, shots=5, num_episodes=10000, dataset=test_videos))))
test_evaluator = dict(
    sets=dict(shapes_1shot=dict(type='FewShotAccuracy'), shapes_5shot=dict(type='FewShotAccuracy')))
test_cfg = dict(type='FeatureCacheTestLoop')
