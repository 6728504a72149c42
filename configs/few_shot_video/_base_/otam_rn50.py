# OTAM as CLIP-FSAR's tables have it: both directions, distances averaged over shots.
_base_ = ['../../_base_/models/few_shot_rn50_openai.py']
model = dict(cls_head=dict(matcher=dict(type='OTAMMatcher', smoothing=0.1, shots='distance_mean')))
