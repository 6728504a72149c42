# TRX: pairs and triples of frames, keys and values 1,152 wide (Perrett et al. 2021).
_base_ = ['../../_base_/models/few_shot_vit-base-p16_openai.py']
model = dict(cls_head=dict(matcher=dict(type='TRXMatcher', in_channels=512, out_channels=1152, cardinalities=(2, 3))))
