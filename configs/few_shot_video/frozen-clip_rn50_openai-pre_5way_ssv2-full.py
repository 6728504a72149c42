# python tools/test.py configs/few_shot_video/frozen-clip_rn50_openai-pre_5way_ssv2-full.py
# Published: 28.5 / 32.5 / 34.5 / 37.1 / 37.8 % with 1 / 2 / 3 / 4 / 5 shots (CLIP-FSAR, table 1); by which comparison of clips is not. Not run here.
_base_ = [
    './_base_/benchmark.py', './_base_/frozen-clip_rn50.py', '../_base_/datasets/few_shot_ssv2-full_test.py'
]
