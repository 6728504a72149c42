# python tools/test.py configs/few_shot_video/frozen-clip_vit-base-p16_openai-pre_5way_ssv2-full.py
# Published: 30.0 / 34.4 / 38.2 / 40.6 / 42.4 % with 1 / 2 / 3 / 4 / 5 shots (CLIP-FSAR, table 1); by which comparison of clips is not. Not run here.
_base_ = [
    './_base_/benchmark.py', './_base_/frozen-clip_vit-base-p16.py', '../_base_/datasets/few_shot_ssv2-full_test.py'
]
