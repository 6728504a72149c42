# Pictures of emoji in three styles, made by tools/data/emoji.py: train on noto and openmoji, test on twemoji, a style that
# training never sees, with all its drawings as classes.
data_root = 'data/emoji'
tokenizer = dict(type='TokenizeCaptions', tokenizer='ViT-B-32')

train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=False,
    worker_init_fn=dict(type='quiet_worker'),
    collate_fn=dict(type='caption_collate'),
    sampler=dict(type='EpochOrder'),
    batch_sampler=dict(type='GlobalBatches'),
    dataset=dict(
        type='KeyedDataset',
        on_bad_sample='replace',
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
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
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
val_cfg = dict(type='MultiDatasetValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='MultiDatasetTestLoop')
