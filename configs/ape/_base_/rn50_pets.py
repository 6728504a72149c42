# Oxford-IIIT Pets: 37 classes, CoOp's split of 2,944 / 736 / 3,669 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root=['data/oxford_pets', 'data/oxfordpets'],
    ann_file='split_zhou_OxfordPets.json',
    image_folder='images')
model = dict(text_bank=dict(templates=['a photo of a {}, a type of pet.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=2944))))
val_dataloader = dict(
    sets=dict(
        pets=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=736, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        pets=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=3669, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(pets=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
