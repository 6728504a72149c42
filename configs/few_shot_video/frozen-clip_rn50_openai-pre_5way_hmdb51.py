# python tools/test.py configs/few_shot_video/frozen-clip_rn50_openai-pre_5way_hmdb51.py
# Published: 51.4 / 65.2 / 71.0 % with 1 / 3 / 5 shots (CLIP-FSAR, table 2); by which comparison of clips is not. Not run here.
_base_ = [
    './_base_/benchmark.py', './_base_/frozen-clip_rn50.py', '../_base_/datasets/few_shot_hmdb51_test.py'
]
