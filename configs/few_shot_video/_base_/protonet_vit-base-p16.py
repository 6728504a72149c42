# ProtoNet on the clips' averages: minus the squared distance to the mean of a class's shots.
_base_ = ['../../_base_/models/few_shot_vit-base-p16_openai.py']
model = dict(cls_head=dict(matcher=dict(type='MeanPoolMatcher', measure='squared_euclidean')))
