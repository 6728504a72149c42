# python tools/test.py configs/few_shot_video/frozen-clip_vit-base-p16_openai-pre_5way_hmdb51.py
# Published: 58.2 / 72.7 / 77.0 % with 1 / 3 / 5 shots (CLIP-FSAR, table 2); by which comparison of clips is not. Not run here.
_base_ = [
    './_base_/benchmark.py', './_base_/frozen-clip_vit-base-p16.py', '../_base_/datasets/few_shot_hmdb51_test.py'
]
