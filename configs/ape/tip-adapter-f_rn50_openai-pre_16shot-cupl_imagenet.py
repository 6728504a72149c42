# python tools/train.py configs/ape/tip-adapter-f_rn50_openai-pre_16shot-cupl_imagenet.py
# With the texts that APE has, for a fair comparison. Not published, not run here.
_base_ = ['./tip-adapter-f_rn50_openai-pre_16shot_imagenet.py']

model = dict(text_bank=dict(prompts='data/gpt3_prompts/imagenet.json', add_templates=True))
