# Bi-MHM: every frame's nearest one, in any order; features averaged over shots (HyRSM's 5-shot head; for one shot all are the same).
_base_ = ['../../_base_/models/few_shot_rn50_openai.py']
model = dict(cls_head=dict(matcher=dict(type='BiMHMMatcher', reduction='sum', shots='prototype_mean')))
