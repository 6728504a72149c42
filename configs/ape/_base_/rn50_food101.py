# Food-101: 101 classes, CoOp's split of 50,500 / 20,200 / 30,300 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root='data/food-101',
    ann_file='split_zhou_Food101.json',
    image_folder='images')
model = dict(text_bank=dict(templates=['a photo of {}, a type of food.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=50500))))
val_dataloader = dict(
    sets=dict(
        food101=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=20200, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        food101=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=30300, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(food101=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
