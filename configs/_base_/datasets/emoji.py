# Pictures of emoji in three styles, made by tools/data/emoji.py: train on noto and openmoji, test on twemoji, a style that
# training never sees, with all its drawings as classes.
_base_ = ['./caption_loaders.py']
data_root = 'data/emoji'
tokenizer = dict(type='TokenizeCaptions', tokenizer='ViT-B-32')

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='CaptionDataset',
            ann_file=['noto.jsonl', 'openmoji.jsonl'],
            data_root=data_root,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='mmpretrain.RandomResizedCrop', scale=64, crop_ratio_range=(0.5, 1.0), interpolation='bicubic'),
                dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal'),
                dict(type='mmpretrain.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
                dict(type='SampleCaptions', policy='sample_k', k=1, kinds=['raw', 'long']), tokenizer,
                dict(type='PackCaptions')
            ])))

val_dataloader = dict(
    sets=dict(
        twemoji=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='CaptionDataset',
                ann_file='twemoji.jsonl',
                data_root=data_root,
                classes='classes.json',
                test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=(64, 64), interpolation='bicubic'),
                    dict(type='mmpretrain.PackInputs')
                ]))))
val_evaluator = dict(
    sets=dict(
        twemoji=dict(
            type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', classes=None, templates='name'))))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
