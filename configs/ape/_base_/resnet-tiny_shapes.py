# Shapes with 16 pictures of each of the 80 classes, on top of the small CLIP that was trained on the captions of other
# scenes; make that first: python tools/train.py configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py
_base_ = ['./resnet-tiny.py']
start = 'work_dirs/clip_resnet-tiny_1xb128-8e_shapes/epoch_8.pth'

model = dict(
    image_tower=dict(pretrained=start),
    text_bank=dict(
        templates=['a {} in the middle', 'a {} at the top', 'a {} at the bottom'], tower=dict(pretrained=start)))

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

# Not an option: what was set here would no longer reach the two towers.
del start
