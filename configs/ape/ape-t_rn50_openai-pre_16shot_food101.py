# python tools/train.py configs/ape/ape-t_rn50_openai-pre_16shot_food101.py
# Published: 79.53 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_food101.py', './_base_/trained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/food101.json', add_templates=True),
    head=dict(type='APETHead', num_channels=900, weights=(0.2, 0.8), alpha=0.8, beta=1.0))
train_cfg = dict(max_epochs=30, search=dict(on='val', scale=(7, 7), steps=(200, 20)))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
# Published for few shots; read by `clipplus ape table`.
options_by_shots = {
    '1': {'optim_wrapper.optimizer.eps': 1e-2},
    '2': {'optim_wrapper.optimizer.eps': 1e-2}
}
param_scheduler = dict(type='CosineAnnealingLR', T_max=30, end=30, by_epoch=True, convert_to_iter_based=True)
default_hooks = dict(checkpoint=dict(save_best='food101/top1'))
