# python tools/train.py configs/few_shot_video/otam_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-full.py
# Published: 44.1 / 52.4 / 55.6 / 58.1 / 59.8 % with 1 / 2 / 3 / 4 / 5 shots (CLIP-FSAR, table 1). Not run here.
_base_ = ['./_base_/otam_rn50.py', './_base_/rn50_ssv2-full.py']
