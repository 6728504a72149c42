# Shapes with 16 pictures of each of the 80 classes, on top of the small CLIP that was trained on the captions of other
# scenes; make that first: python tools/train.py configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py
_base_ = ['./few_shot.py']
start = 'work_dirs/clip_resnet-tiny_1xb128-8e_shapes/epoch_8.pth'
tower = dict(
    embed_dim=128,
    quick_gelu=False,
    vision_cfg=dict(image_size=64, patch_size=None, width=24, layers=[1, 1, 1, 1]),
    text_cfg=dict(context_length=77, vocab_size=49408, width=128, heads=4, layers=2))

model = dict(
    type='FewShotClassifier',
    image_tower=dict(type='CLIPImageTower', model=tower, pretrained=start, frozen=True),
    text_bank=dict(
        type='ClassTextBank',
        templates=['a {} in the middle', 'a {} at the top', 'a {} at the bottom'],
        tower=dict(type='CLIPTextTower', model=tower, pretrained=start, frozen=True)))

train_dataloader = dict(
    dataset=dict(
        type='KeyedDataset',
        dataset=dict(
            type='FewShotSubset',
            num_shots=16,
            seed=1,
            dataset=dict(
                type='ShapesDataset',
                split='train',
                num_scenes=8192,
                size=64,
                pipeline=[
                    dict(
                        type='RandomResizedCrop',
                        scale=64,
                        crop_ratio_range=(0.5, 1.0),
                        backend='pillow',
                        interpolation='bicubic'),
                    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
                    dict(type='PackInputs')
                ]))))

val_dataloader = dict(
    sets=dict(
        shapes_classes=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='ShapesDataset', split='val', num_scenes=1000, size=64, pipeline=[dict(type='PackInputs')]))))
val_evaluator = dict(sets=dict(shapes_classes=dict(type='ZeroShotAccuracy', topk=(1, 5))))

test_dataloader = dict(
    sets=dict(
        shapes_classes=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='ShapesDataset', split='test', num_scenes=1000, size=64, pipeline=[dict(type='PackInputs')]))))
test_evaluator = val_evaluator
