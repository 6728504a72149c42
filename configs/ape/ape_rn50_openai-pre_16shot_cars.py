# python tools/train.py configs/ape/ape_rn50_openai-pre_16shot_cars.py
# Published: 70.31 % with 16 shots (the authors' notebook). Not run here.
_base_ = ['./_base_/rn50_cars.py', './_base_/untrained.py']

model = dict(
    text_bank=dict(prompts='data/gpt3_prompts/cars.json', add_templates=True),
    head=dict(type='APEHead', num_channels=500, weights=(0.6, 0.4), alpha=1.0, beta=1.0, gamma=0.1))
train_cfg = dict(max_epochs=0, search=dict(on='val', scale=(10, 7, 1), steps=(200, 20, 20)))
