# python tools/train.py configs/few_shot_video/otam_rn50_openai-pre_1xb1-accum4-1x1x8-5w1s-1250iters_hmdb51.py
# Published: 63.0 / 71.2 / 76.6 % with 1 / 3 / 5 shots (CLIP-FSAR, table 2). Not run here.
_base_ = ['./_base_/otam_rn50.py', './_base_/rn50_hmdb51.py']
