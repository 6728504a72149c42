# UCF101: 2,400 episodes (not published), in updates of 16.
_base_ = [
    '../../few_shot_video/_base_/benchmark.py', '../../_base_/datasets/few_shot_ucf101.py', './schedule.py'
]
optim_wrapper = dict(optimizer=dict(lr=0.0005))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=False, begin=0, end=15),
    dict(type='MultiStepLR', milestones=[75], gamma=0.5, by_epoch=False),
    dict(type='MultiStepLR', milestones=[105], gamma=0.2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[135], gamma=0.5, by_epoch=False)
]
train_cfg = dict(type='StepLoop', max_iters=150, val_interval=30)
# The best weights are chosen on the validation classes.
default_hooks = dict(checkpoint=dict(interval=30, save_best='ucf101_1shot/accuracy', rule='greater'))
custom_hooks = [dict(type='TowerReferencesHook'), dict(type='ResultTableHook')]
