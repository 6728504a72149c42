# Caltech-101: 100 classes, CoOp's split of 4,128 / 1,649 / 2,465 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root='data/caltech-101',
    ann_file='split_zhou_Caltech101.json',
    image_folder='101_ObjectCategories')
model = dict(text_bank=dict(templates=['a photo of a {}.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=4128))))
val_dataloader = dict(
    sets=dict(
        caltech101=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=1649, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        caltech101=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=2465, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(caltech101=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
