# OpenAI's CLIP RN50, the tower of the published tables, at 224 pixels.
_base_ = ['./few_shot.py']
tower = 'RN50-quickgelu'
model = dict(
    type='FewShotClassifier',
    image_tower=dict(type='CLIPImageTower', model=tower, pretrained='openai', frozen=True),
    text_bank=dict(
        type='ClassTextBank', tower=dict(type='CLIPTextTower', model=tower, pretrained='openai', frozen=True)))

# PIL's bicubic filters when it makes an image smaller, as CLIP's own preparation does; OpenCV's does not.
augmented = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(
        type='RandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.5, 1.0),
        backend='pillow',
        interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs')
]
plain = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='ResizeEdge', scale=224, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs')
]
# The published draw of the shots has seed 1, the published training 3407.
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        type='KeyedDataset',
        dataset=dict(type='FewShotSubset', num_shots=16, seed=1, dataset=dict(pipeline=augmented))))
val_dataloader = dict(num_workers=2)
test_dataloader = dict(num_workers=2)
randomness = dict(seed=3407)
