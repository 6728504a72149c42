# EuroSAT: 10 classes, CoOp's split of 13,500 / 5,400 / 8,100 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root='data/eurosat',
    ann_file='split_zhou_EuroSAT.json',
    image_folder='2750')
model = dict(text_bank=dict(templates=['a centered satellite photo of {}.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=13500))))
val_dataloader = dict(
    sets=dict(
        eurosat=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=5400, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        eurosat=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=8100, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(eurosat=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
