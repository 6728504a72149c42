# python tools/train.py configs/ape/ape-t_rn50_openai-pre_16shot_fgvc.py
# Published: 39.62 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_fgvc.py', './_base_/trained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/fgvc.json', add_templates=True),
    head=dict(type='APETHead', num_channels=900, weights=(0.2, 0.8), alpha=5.0, beta=1.0))
train_cfg = dict(max_epochs=30, search=dict(on='val', scale=(20, 10), steps=(200, 20)))
param_scheduler = dict(type='CosineAnnealingLR', T_max=30, end=30, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='fgvc/top1'))
