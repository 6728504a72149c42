# UCF101 with CLIP-FSAR's rates for RN50. The best weights are chosen on the validation classes.
_base_ = [
    './benchmark.py', '../../_base_/datasets/few_shot_ucf101.py', '../../_base_/schedules/few_shot_ucf101.py'
]
default_hooks = dict(checkpoint=dict(interval=25, save_best='ucf101_1shot/accuracy', rule='greater'))
