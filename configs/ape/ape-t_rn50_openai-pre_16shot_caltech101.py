# python tools/train.py configs/ape/ape-t_rn50_openai-pre_16shot_caltech101.py
# Published: 93.14 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_caltech101.py', './_base_/trained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/caltech101.json', add_templates=True),
    head=dict(type='APETHead', num_channels=900, weights=(0.2, 0.8), alpha=1.0, beta=1.0))
train_cfg = dict(max_epochs=30, search=dict(on='val', scale=(7, 7), steps=(200, 20)))
param_scheduler = dict(type='CosineAnnealingLR', T_max=30, end=30, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='caltech101/top1'))
