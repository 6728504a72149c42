# HMDB51: 3,000 episodes (not published), in updates of 16.
_base_ = [
    '../../few_shot_video/_base_/benchmark.py', '../../_base_/datasets/few_shot_hmdb51.py', './schedule.py'
]
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=False, begin=0, end=19),
    dict(type='MultiStepLR', milestones=[94], gamma=0.5, by_epoch=False),
    dict(type='MultiStepLR', milestones=[132], gamma=0.2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[169], gamma=0.5, by_epoch=False)
]
train_cfg = dict(type='StepLoop', max_iters=188, val_interval=37)
# The best weights are chosen on the validation classes.
default_hooks = dict(checkpoint=dict(interval=37, save_best='hmdb51_1shot/accuracy', rule='greater'))
custom_hooks = [dict(type='TowerReferencesHook'), dict(type='ResultTableHook')]
