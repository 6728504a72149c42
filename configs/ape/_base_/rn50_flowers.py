# Oxford Flowers-102: 102 classes, CoOp's split of 4,093 / 1,633 / 2,463 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root=['data/oxford_flowers', 'data/flowers102'],
    ann_file='split_zhou_OxfordFlowers.json',
    image_folder='jpg')
model = dict(text_bank=dict(templates=['a photo of a {}, a type of flower.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=4093))))
val_dataloader = dict(
    sets=dict(
        flowers=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=1633, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        flowers=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=2463, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(flowers=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
