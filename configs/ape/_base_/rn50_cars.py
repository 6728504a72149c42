# Stanford Cars: 196 classes, CoOp's split of 6,509 / 1,635 / 8,041 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root=['data/stanford_cars', 'data/stanfordcars'],
    ann_file='split_zhou_StanfordCars.json')
model = dict(text_bank=dict(templates=['a photo of a {}.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=6509))))
val_dataloader = dict(
    sets=dict(
        cars=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=1635, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        cars=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=8041, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(cars=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
