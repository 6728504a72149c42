# python tools/test.py configs/few_shot_video/frozen-clip_rn50_openai-pre_5way_ucf101.py
# Published: 84.6 / 92.9 / 94.5 % with 1 / 3 / 5 shots (CLIP-FSAR, table 2); by which comparison of clips is not. Not run here.
_base_ = [
    './_base_/benchmark.py', './_base_/frozen-clip_rn50.py', '../_base_/datasets/few_shot_ucf101_test.py'
]
