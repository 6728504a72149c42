# UCF101, the middle frame of each video: 101 classes, CoOp's split of 7,639 / 1,898 / 3,783 pictures.
_base_ = ['./rn50.py']
data = dict(
    type='CoOpSplit',
    data_root='data/ucf101',
    ann_file='split_zhou_UCF101.json',
    image_folder='UCF-101-midframes')
model = dict(text_bank=dict(templates=['a photo of a person doing {}.']))

train_dataloader = dict(dataset=dict(dataset=dict(dataset=dict(**data, split='train', expected=7639))))
val_dataloader = dict(
    sets=dict(
        ucf101=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='val', expected=1898, pipeline=_base_.plain))))
test_dataloader = dict(
    sets=dict(
        ucf101=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(**data, split='test', expected=3783, test_mode=True, pipeline=_base_.plain))))
val_evaluator = dict(sets=dict(ucf101=dict(type='ZeroShotAccuracy', topk=(1, 5))))
test_evaluator = val_evaluator
# Not an option: what was set here would no longer reach the three sets.
del data
