# python tools/train.py configs/few_shot_video/otam_vit-base-p16_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-small.py
# Published: 43.3 / 53.5 / 57.5 % with 1 / 3 / 5 shots (CLIP-FSAR, table 2). Not run here.
_base_ = ['./_base_/otam_vit-base-p16.py', './_base_/vit-base-p16_ssv2-small.py']
