# SSv2-Small with CLIP-FSAR's rates for RN50. The best weights are chosen on the validation classes.
_base_ = [
    './benchmark.py', '../../_base_/datasets/few_shot_ssv2-small.py', '../../_base_/schedules/few_shot_ssv2-small.py'
]
default_hooks = dict(checkpoint=dict(interval=250, save_best='ssv2_small_1shot/accuracy', rule='greater'))
