# python tools/train.py configs/ape/ape_rn50_openai-pre_16shot_eurosat.py
# Published: 78.16 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_eurosat.py', './_base_/untrained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/eurosat.json', add_templates=True),
    head=dict(type='APEHead', num_channels=700, weights=(0.9, 0.1), alpha=1.0, beta=1.0, gamma=0.1))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(30, 5, 1.5), steps=(200, 20, 20)))
