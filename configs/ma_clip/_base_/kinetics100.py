# Kinetics-100: 1,000 episodes (published), in updates of 4.
_base_ = [
    '../../few_shot_video/_base_/benchmark.py', '../../_base_/datasets/few_shot_kinetics100.py', './schedule.py'
]
optim_wrapper = dict(accumulative_counts=4, optimizer=dict(lr=0.0005))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.2, by_epoch=False, begin=0, end=25),
    dict(type='MultiStepLR', milestones=[125], gamma=0.5, by_epoch=False),
    dict(type='MultiStepLR', milestones=[175], gamma=0.2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[225], gamma=0.5, by_epoch=False)
]
auto_scale_lr = dict(base_batch_size=4)
train_cfg = dict(type='StepLoop', max_iters=250, val_interval=50)
# The best weights are chosen on the validation classes.
default_hooks = dict(checkpoint=dict(interval=50, save_best='kinetics100_1shot/accuracy', rule='greater'))
custom_hooks = [dict(type='TowerReferencesHook'), dict(type='ResultTableHook')]
