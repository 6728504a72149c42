# python tools/train.py configs/ape/ape-t_rn50_openai-pre_16shot_flowers.py
# Published: 96.14 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_flowers.py', './_base_/trained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/flowers.json', add_templates=True),
    head=dict(type='APETHead', num_channels=800, weights=(0.2, 0.8), alpha=3.0, beta=1.0))
train_cfg = dict(max_epochs=60, search=dict(on='val', scale=(7, 7), steps=(200, 20)))
param_scheduler = dict(type='CosineAnnealingLR', T_max=60, end=60, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='flowers/top1'))
