# MA-CLIP on a tower that knows nothing: its frozen weights are random, and the adapters learn all there is.
_base_ = ['../../_base_/models/few_shot_vit-tiny-p8.py']
custom_imports = dict(imports=['clipplus.methods.ma_clip'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        type='MACLIPVisualBackbone', num_frames=8, adapter=dict(ratio=0.25, joint_scale=1.0)),
    neck=dict(type='TPCM', embed_dim=64, ffn_channels=256),
    text=dict(
        type='ClassTextBank',
        templates=['a photo of {}'],
        average='raw',
        normalize=False,
        tower=dict(type='CLIPTextTower', model=_base_.tower, frozen=True)),
    cls_head=dict(_delete_=True, type='MACLIPHead', matcher=dict(type='OTAMMatcher', smoothing=0.5), alpha=0.5))
