# python tools/train.py configs/ape/ape-t_rn50_openai-pre_16shot_eurosat.py
# Published: 86.70 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_eurosat.py', './_base_/trained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/eurosat.json', add_templates=True),
    head=dict(type='APETHead', num_channels=900, weights=(0.2, 0.8), alpha=1.0, beta=1.0))
train_cfg = dict(max_epochs=200, search=dict(on='val', scale=(30, 5), steps=(200, 20)))
param_scheduler = dict(type='CosineAnnealingLR', T_max=200, end=200, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='eurosat/top1'))
