# ImageNet-1k's 50,000 validation images, zero-shot, see docs/zero_shot.md. Headline: top1.
imagenet_root = 'data/imagenet'
# As CLIP's own preparation: PIL's bicubic filters when it makes an image smaller, OpenCV's does not.
clip_view = [
    dict(type='mmpretrain.ResizeEdge', scale=224, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='mmpretrain.CenterCrop', crop_size=224),
    dict(type='mmpretrain.PackInputs')
]

test_dataloader = dict(
    batch_size=128,
    num_workers=2,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sets=dict(
        imagenet=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='mmpretrain.ImageNet',
                data_root=imagenet_root,
                split='val',
                pipeline=[dict(type='LoadImageFromFile', imdecode_backend='pillow'), *clip_view]))))
test_evaluator = dict(
    sets=dict(
        imagenet=dict(
            type='ZeroShotAccuracy',
            topk=(1, 5),
            texts=dict(type='ClassTextBank', classes='imagenet', templates='openai'))))
test_cfg = dict(type='MultiDatasetTestLoop')

val_dataloader = test_dataloader
val_evaluator = test_evaluator
val_cfg = dict(type='MultiDatasetValLoop')
