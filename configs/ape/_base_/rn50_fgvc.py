# FGVC Aircraft: 100 classes, CoOp's split of 3,334 / 3,333 / 3,333 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root=['data/fgvc_aircraft', 'data/fgvcaircraft', 'data/fgvc-aircraft-2013b/data'],
    ann_file='images_variant_{split}.txt',
    image_folder='images')
model = dict(text_bank=dict(templates=['a photo of a {}, a type of aircraft.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=3334))))
val_dataloader = dict(
    sets=dict(
        fgvc=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=3333, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        fgvc=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=3333, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(fgvc=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
