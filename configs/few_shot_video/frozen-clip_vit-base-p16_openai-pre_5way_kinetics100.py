# python tools/test.py configs/few_shot_video/frozen-clip_vit-base-p16_openai-pre_5way_kinetics100.py
# Published: 78.9 / 87.0 / 90.2 / 91.4 / 91.9 % with 1 / 2 / 3 / 4 / 5 shots (CLIP-FSAR, table 1); by which comparison of clips is not. Not run here.
_base_ = [
    './_base_/benchmark.py', './_base_/frozen-clip_vit-base-p16.py', '../_base_/datasets/few_shot_kinetics100_test.py'
]
