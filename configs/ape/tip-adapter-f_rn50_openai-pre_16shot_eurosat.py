# python tools/train.py configs/ape/tip-adapter-f_rn50_openai-pre_16shot_eurosat.py
# Published: 84.98 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_eurosat.py', './_base_/trained.py']

model = dict(head=dict(type='TipAdapterHead', train_keys=True, alpha=2.0, beta=1.0))
train_cfg = dict(max_epochs=100, search=dict(on='val', scale=(12, 10), steps=(200, 20)))
optim_wrapper = dict(optimizer=dict(eps=1e-4, weight_decay=0.01))
param_scheduler = dict(type='CosineAnnealingLR', T_max=100, end=100, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='eurosat/top1'))
