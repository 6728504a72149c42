# python tools/train.py configs/few_shot_video/otam_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-small.py
# Published: 39.9 / 48.2 / 51.9 % with 1 / 3 / 5 shots (CLIP-FSAR, table 2). Not run here.
_base_ = ['./_base_/otam_rn50.py', './_base_/rn50_ssv2-small.py']
