# python tools/test.py configs/clip/clip_resnet-tiny_probe_shapes.py work_dirs/clip_resnet-tiny_1xb128-8e_shapes/epoch_8.pth
# Test only: zero-shot classification, linear probe and nearest neighbours of one checkpoint on the same scenes.
# Measured on the test split: top-1 53.9 % zero-shot, 66.5 % linear probe, 57.5 % nearest neighbours, 40 seconds on one core.
_base_ = ['../_base_/default_runtime.py', '../_base_/models/clip_resnet-tiny.py']

# What both classifiers are fitted to; the probe's C is chosen on a fifth of it.
train = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='ShapesDataset',
        split='train',
        num_scenes=4096,
        size=64,
        pipeline=[dict(type='mmpretrain.PackInputs')]))

test_cfg = dict(type='MultiDatasetTestLoop')
test_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sets=dict(
        shapes_classes=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='ShapesDataset',
                split='test',
                num_scenes=1000,
                size=64,
                pipeline=[dict(type='mmpretrain.PackInputs')]))))
test_evaluator = dict(
    sets=dict(
        shapes_classes=[
            dict(
                type='ZeroShotAccuracy',
                topk=(1, 5),
                texts=dict(
                    type='ClassTextBank',
                    classes='shapes',
                    templates=['a {} in the middle', 'a {} at the top', 'a {} at the bottom'])),
            dict(type='LinearProbeAccuracy', train=train),
            dict(type='NearestNeighbourAccuracy', k=20, temperature=0.07, train=train)
        ]))

custom_hooks = [dict(type='ResultTableHook')]
# Not an option: what was set here would no longer reach the two places above.
del train
