# SUN397: 397 classes, CoOp's split of 15,880 / 3,970 / 19,850 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root='data/sun397',
    ann_file='split_zhou_SUN397.json',
    image_folder='SUN397')
model = dict(text_bank=dict(templates=['a photo of a {}.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=15880))))
val_dataloader = dict(
    sets=dict(
        sun397=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=3970, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        sun397=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=19850, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(sun397=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
