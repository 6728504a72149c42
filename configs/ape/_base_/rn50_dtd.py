# Describable Textures: 47 classes, CoOp's split of 2,820 / 1,128 / 1,692 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root='data/dtd',
    ann_file='split_zhou_DescribableTextures.json',
    image_folder='images')
model = dict(text_bank=dict(templates=['{} texture.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=2820))))
val_dataloader = dict(
    sets=dict(
        dtd=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=1128, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        dtd=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=1692, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(dtd=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
