# python tools/train.py configs/few_shot_video/trx_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-small.py
# Published: 39.4 / 56.8 % with 1 / 5 shots (CLIP-FSAR, table 3). Not run here.
_base_ = ['./_base_/trx_rn50.py', './_base_/rn50_ssv2-small.py']
