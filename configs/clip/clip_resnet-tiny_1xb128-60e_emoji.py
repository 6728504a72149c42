_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_resnet-tiny.py', '../_base_/datasets/emoji.py',
    '../_base_/schedules/adamw_cosine.py'
]
train_cfg = dict(max_epochs=60, val_interval=20)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=60, by_epoch=True, convert_to_iter_based=True)
]
optim_wrapper = dict(optimizer=dict(fused=True))
