# python tools/train.py configs/clip/clip_vit-tiny-p8_1xb128-20e_own-pictures.py
# Your own pictures and captions, see docs/own_pictures.md.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_vit-tiny-p8.py', '../_base_/datasets/captions.py',
    '../_base_/schedules/adamw_cosine.py'
]
train_cfg = dict(max_epochs=20, val_interval=5)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=20, by_epoch=True, convert_to_iter_based=True)
]
