# SSv2-Full with CLIP-FSAR's rates for RN50. The best weights are chosen on the validation classes.
_base_ = [
    './benchmark.py', '../../_base_/datasets/few_shot_ssv2-full.py', '../../_base_/schedules/few_shot_ssv2-full.py'
]
default_hooks = dict(checkpoint=dict(interval=250, save_best='ssv2_full_1shot/accuracy', rule='greater'))
