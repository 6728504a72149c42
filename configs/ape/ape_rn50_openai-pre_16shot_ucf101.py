# python tools/train.py configs/ape/ape_rn50_openai-pre_16shot_ucf101.py
# Published: 74.49 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_ucf101.py', './_base_/untrained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/ucf101.json', add_templates=True),
    head=dict(type='APEHead', num_channels=700, weights=(0.3, 0.7), alpha=2.0, beta=1.0, gamma=0.1))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(10, 7, 1.5), steps=(200, 20, 20)))
