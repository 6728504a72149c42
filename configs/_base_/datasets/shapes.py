# Scenes that the program draws itself: nothing to download. Training reads the short captions; zero-shot
# classification and retrieval are tested on scenes that training never sees.
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
            type='ShapesDataset',
            split='train',
            num_scenes=8192,
            size=64,
            pipeline=[
                dict(type='SampleCaptions', policy='sample_k', k=1, kinds=['raw']), tokenizer,
                dict(type='PackCaptions')
            ])))

val_dataloader = dict(
    batch_size=100,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sets=dict(
        shapes_classes=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='ShapesDataset',
                split='val',
                num_scenes=1000,
                size=64,
                pipeline=[dict(type='mmpretrain.PackInputs')])),
        shapes_captions=dict(
            collate_fn=dict(type='caption_collate'),
            dataset=dict(
                type='ShapesDataset',
                split='val',
                num_scenes=500,
                size=64,
                pipeline=[
                    dict(type='SampleCaptions', policy='first', kinds=['raw']), tokenizer,
                    dict(type='PackCaptions')
                ]))))
val_evaluator = dict(
    sets=dict(
        shapes_classes=dict(
            type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', classes=None, templates=['a {} in the middle', 'a {} at the top', 'a {} at the bottom'])),
        shapes_captions=dict(type='CrossModalRecall', ks=(1, 5))))
val_cfg = dict(type='MultiDatasetValLoop')

test_dataloader = val_dataloader
test_evaluator = val_evaluator
test_cfg = dict(type='MultiDatasetTestLoop')
