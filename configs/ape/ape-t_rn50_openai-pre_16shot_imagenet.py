# python tools/train.py configs/ape/ape-t_rn50_openai-pre_16shot_imagenet.py
# Published: 66.07 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_imagenet.py', './_base_/trained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/imagenet.json', add_templates=True),
    head=dict(type='APETHead', num_channels=500, weights=(0.2, 0.8), alpha=2.0, beta=1.0))
train_cfg = dict(max_epochs=20, search=dict(on='val', scale=(7, 7), steps=(200, 20)))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
param_scheduler = dict(type='CosineAnnealingLR', T_max=20, end=20, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='held_out/top1'))
