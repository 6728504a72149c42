# python tools/train.py configs/ape/tip-adapter-f_rn50_openai-pre_16shot_sun397.py
# Published: 71.37 % with 16 shots (the authors' notebook). Not run here. Settings as a copy of the
# published code has them; the original has none for this data set.
_base_ = ['./_base_/rn50_sun397.py', './_base_/trained.py']

model = dict(head=dict(type='TipAdapterHead', train_keys=True, alpha=1.17, beta=1.0))
train_cfg = dict(max_epochs=20, search=dict(on='val', scale=(12, 10), steps=(200, 20)))
optim_wrapper = dict(optimizer=dict(eps=1e-4, weight_decay=0.01))
param_scheduler = dict(type='CosineAnnealingLR', T_max=20, end=20, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='sun397/top1'))
