# HMDB51 with CLIP-FSAR's rates for RN50. The best weights are chosen on the validation classes.
_base_ = [
    './benchmark.py', '../../_base_/datasets/few_shot_hmdb51.py', '../../_base_/schedules/few_shot_hmdb51.py'
]
default_hooks = dict(checkpoint=dict(interval=75, save_best='hmdb51_1shot/accuracy', rule='greater'))
