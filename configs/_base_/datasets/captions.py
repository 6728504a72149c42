# Your own pictures with captions, see docs/own_pictures.md. Change data_root and the ann_files.
_base_ = ['./caption_loaders.py']
data_root = 'data/own'
tokenizer = dict(type='TokenizeCaptions', tokenizer='ViT-B-32')

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            type='CaptionDataset',
            ann_file='train.jsonl',
            data_root=data_root,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(
                    type='mmpretrain.RandomResizedCrop',
                    scale=64,
                    crop_ratio_range=(0.5, 1.0),
                    interpolation='bicubic'),
                dict(type='SampleCaptions', policy='sample_k', k=1), tokenizer,
                dict(type='PackCaptions')
            ])))

val_dataloader = dict(
    sets=dict(
        own=dict(
            collate_fn=dict(type='caption_collate'),
            dataset=dict(
                type='CaptionDataset',
                ann_file='val.jsonl',
                data_root=data_root,
                test_mode=True,
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='mmpretrain.ResizeEdge', scale=64, edge='short', interpolation='bicubic'),
                    dict(type='mmpretrain.CenterCrop', crop_size=64),
                    dict(type='SampleCaptions', policy='all'), tokenizer,
                    dict(type='PackCaptions')
                ]))))
val_evaluator = dict(sets=dict(own=dict(type='CrossModalRecall', ks=(1, 5))))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
