# python tools/train.py configs/few_shot_video/otam_vit-base-p16_openai-pre_1xb1-accum4-1x1x8-5w1s-7500iters_ssv2-full.py
# Published: 50.2 / 57.4 / 63.8 / 65.5 / 68.6 % with 1 / 2 / 3 / 4 / 5 shots (CLIP-FSAR, table 1). Not run here.
_base_ = ['./_base_/otam_vit-base-p16.py', './_base_/vit-base-p16_ssv2-full.py']
