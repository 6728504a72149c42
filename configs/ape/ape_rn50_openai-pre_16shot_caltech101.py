# python tools/train.py configs/ape/ape_rn50_openai-pre_16shot_caltech101.py
# Published: 92.49 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_caltech101.py', './_base_/untrained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/caltech101.json', add_templates=True),
    head=dict(type='APEHead', num_channels=800, weights=(0.5, 0.5), alpha=1.0, beta=1.0, gamma=0.1))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(7, 7, 1), steps=(200, 20, 20)))
