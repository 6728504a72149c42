# CLIP-FSAR's RN50 schedule for Something-Something V2, 100 videos a class: 30,000 episodes, in updates of four.
_base_ = ['./few_shot_adam.py']

optim_wrapper = dict(optimizer=dict(lr=5e-5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.4, by_epoch=False, begin=0, end=501),
    dict(type='MultiStepLR', milestones=[1000, 1500], gamma=0.1, by_epoch=False)
]
train_cfg = dict(type='StepLoop', max_iters=7500, val_interval=250)
