# python tools/train.py configs/ape/ape-t_rn50_openai-pre_16shot_dtd.py
# Published: 69.66 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_dtd.py', './_base_/trained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/dtd.json', add_templates=True),
    head=dict(type='APETHead', num_channels=700, weights=(0.2, 0.8), alpha=3.0, beta=1.0))
train_cfg = dict(max_epochs=20, search=dict(on='val', scale=(7, 7), steps=(200, 20)))
param_scheduler = dict(type='CosineAnnealingLR', T_max=20, end=20, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='dtd/top1'))
