# Mean pooling: the cosine of the clips' averages, averaged over shots.
_base_ = ['../../_base_/models/few_shot_vit-base-p16_openai.py']
model = dict(cls_head=dict(matcher=dict(type='MeanPoolMatcher', measure='cosine')))
