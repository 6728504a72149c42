# python tools/train.py configs/ape/tip-adapter-f_rn50_openai-pre_16shot-cupl_fgvc.py
# With the texts that APE has, for a fair comparison. Not published, not run here.
_base_ = ['./tip-adapter-f_rn50_openai-pre_16shot_fgvc.py']

model = dict(text_bank=dict(prompts='data/gpt3_prompts/fgvc.json', add_templates=True))
