# python tools/train.py configs/ape/tip-adapter_rn50_openai-pre_16shot-cupl_dtd.py
# With the texts that APE has, for a fair comparison. Not published, not run here.
_base_ = ['./tip-adapter_rn50_openai-pre_16shot_dtd.py']

model = dict(text_bank=dict(prompts='data/gpt3_prompts/dtd.json', add_templates=True))
