# Emoji by kind: 53 classes, on top of the small CLIP that was trained on the captions of the same pictures; make that first:
# python tools/train.py configs/clip/clip_resnet-tiny_1xb128-60e_emoji.py
# Shots, and the pictures to choose on, are drawn by noto and openmoji; the test is a style that neither the CLIP nor a shot
# has shown, twemoji. The pictures come from tools/data/emoji.py, see docs/emoji.md.
_base_ = ['./resnet-tiny.py']
start = 'work_dirs/clip_resnet-tiny_1xb128-60e_emoji/epoch_60.pth'
data_root = 'data/emoji'
# The subgroups of emojibase with at least 12 things, each drawn twice: 16 shots, and 8 pictures to choose on.
kinds = [
    'alphanum', 'animal-bird', 'animal-bug', 'animal-mammal', 'animal-marine', 'arrow', 'av-symbol', 'body-parts',
    'book-paper', 'clothing', 'computer', 'drink', 'emotion', 'event', 'face-concerned', 'face-neutral-skeptical',
    'face-smiling', 'face-unwell', 'family', 'food-asian', 'food-fruit', 'food-prepared', 'food-sweet',
    'food-vegetable', 'game', 'geometric', 'heart', 'household', 'keycap', 'light-video', 'mail', 'musical-instrument',
    'office', 'other-symbol', 'person', 'person-activity', 'person-fantasy', 'person-role', 'person-sport',
    'place-building', 'place-other', 'plant-flower', 'plant-other', 'religion', 'sky-weather', 'sport', 'time', 'tool',
    'transport-air', 'transport-ground', 'transport-sign', 'warning', 'zodiac'
]

model = dict(
    image_tower=dict(pretrained=start), text_bank=dict(templates='name', tower=dict(pretrained=start)))

# As in the training of the CLIP, but for colours.
augmented = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0), interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs')
]
plain = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), interpolation='bicubic'),
    dict(type='PackInputs')
]
styles = ['noto.jsonl', 'openmoji.jsonl']

train_dataloader = dict(
    dataset=dict(
        type='KeyedDataset',
        dataset=dict(
            type='FewShotSubset',
            num_shots=16,
            seed=1,
            dataset=dict(
                type='FieldClasses',
                field='subgroup',
                classes=kinds,
                dataset=dict(type='CaptionDataset', ann_file=styles, data_root=data_root, pipeline=augmented)))))

val_dataloader = dict(
    sets=dict(
        held_out=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='FewShotSubset',
                num_shots=16,
                seed=1,
                part='holdout',
                holdout=8,
                dataset=dict(
                    type='FieldClasses',
                    field='subgroup',
                    classes=kinds,
                    dataset=dict(type='CaptionDataset', ann_file=styles, data_root=data_root, pipeline=plain))))))
val_evaluator = dict(sets=dict(held_out=dict(type='ZeroShotAccuracy', topk=(1, 5))))

test_dataloader = dict(
    sets=dict(
        twemoji=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='FieldClasses',
                field='subgroup',
                classes=kinds,
                dataset=dict(
                    type='CaptionDataset',
                    ann_file='twemoji.jsonl',
                    data_root=data_root,
                    test_mode=True,
                    pipeline=plain)))))
test_evaluator = dict(sets=dict(twemoji=dict(type='ZeroShotAccuracy', topk=(1, 5))))

# Not options: what was set here would no longer reach the places above.
del start, data_root, kinds, augmented, plain, styles
