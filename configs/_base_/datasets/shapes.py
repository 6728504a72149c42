# Scenes that the program draws itself: nothing to download. Training reads the short captions; zero-shot classification
# and retrieval are validated and tested on scenes that training never sees, and on different ones.
_base_ = ['./caption_loaders.py']
tokenizer = dict(type='TokenizeCaptions', tokenizer='ViT-B-32')

train_dataloader = dict(
    dataset=dict(
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

test_dataloader = dict(
    sets=dict(
        shapes_classes=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='ShapesDataset',
                split='test',
                num_scenes=1000,
                size=64,
                pipeline=[dict(type='mmpretrain.PackInputs')])),
        shapes_captions=dict(
            collate_fn=dict(type='caption_collate'),
            dataset=dict(
                type='ShapesDataset',
                split='test',
                num_scenes=500,
                size=64,
                pipeline=[
                    dict(type='SampleCaptions', policy='first', kinds=['raw']), tokenizer,
                    dict(type='PackCaptions')
                ]))))
# The data set names its 80 classes; the templates are forms that its captions have.
val_evaluator = dict(
    sets=dict(
        shapes_classes=dict(
            type='ZeroShotAccuracy',
            topk=(1, 5),
            texts=dict(
                type='ClassTextBank',
                classes='shapes',
                templates=['a {} in the middle', 'a {} at the top', 'a {} at the bottom'])),
        shapes_captions=dict(type='CrossModalRecall', ks=(1, 5))))

test_evaluator = val_evaluator
