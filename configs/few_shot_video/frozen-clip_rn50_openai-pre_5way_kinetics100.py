# python tools/test.py configs/few_shot_video/frozen-clip_rn50_openai-pre_5way_kinetics100.py
# Published: 68.2 / 78.3 / 82.1 / 84.0 / 85.3 % with 1 / 2 / 3 / 4 / 5 shots (CLIP-FSAR, table 1); by which comparison of clips is not. Not run here.
_base_ = [
    './_base_/benchmark.py', './_base_/frozen-clip_rn50.py', '../_base_/datasets/few_shot_kinetics100_test.py'
]
