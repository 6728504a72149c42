# python tools/train.py configs/ape/ape_rn50_openai-pre_16shot_sun397.py
# Published: 69.72 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_sun397.py', './_base_/untrained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/sun397.json', add_templates=True),
    head=dict(type='APEHead', num_channels=800, weights=(0.7, 0.3), alpha=1.0, beta=1.0, gamma=0.1))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(10, 7, 1), steps=(200, 20, 20)))
