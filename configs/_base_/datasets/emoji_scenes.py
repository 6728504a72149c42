# Scenes of several emoji made by tools/data/emoji.py --scenes: trained on drawings of noto and openmoji, retrieval tested
# on scenes of twemoji. Pictures are not mirrored: the captions speak of left and right.
_base_ = ['./caption_loaders.py']
data_root = 'data/emoji'
tokenizer = dict(type='TokenizeCaptions', tokenizer='ViT-B-32')

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='CaptionDataset',
            ann_file='scenes_train.jsonl',
            data_root=data_root,
            pipeline=[
                dict(type='LoadImageFromFile'),
                # Little is cut off, since a caption names everything that can be seen.
                dict(
                    type='mmpretrain.RandomResizedCrop',
                    scale=64,
                    crop_ratio_range=(0.85, 1.0),
                    aspect_ratio_range=(0.9, 1.1),
                    interpolation='bicubic'),
                dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
                dict(type='SampleCaptions', policy='sample_k', k=1, kinds=['raw', 'long']), tokenizer,
                dict(type='PackCaptions')
            ])))

val_dataloader = dict(
    sets=dict(
        emoji_scenes=dict(
            collate_fn=dict(type='caption_collate'),
            dataset=dict(
                type='CaptionDataset',
                ann_file='scenes_val.jsonl',
                data_root=data_root,
                test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=(64, 64), interpolation='bicubic'),
                    dict(type='SampleCaptions', policy='first', kinds=['raw']), tokenizer,
                    dict(type='PackCaptions')
                ]))))
val_evaluator = dict(sets=dict(emoji_scenes=dict(type='CrossModalRecall', ks=(1, 5))))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
