# MA-CLIP on the small CLIP that was trained on pictures of shapes and their captions; make that first:
# python tools/train.py configs/clip/clip_vit-tiny-p16_1xb128-8e_shapes-start.py
custom_imports = dict(imports=['clipplus.methods.ma_clip'], allow_failed_imports=False)
default_scope = 'mmaction'

start = 'work_dirs/clip_vit-tiny-p16_1xb128-8e_shapes-start/epoch_8.pth'
tower = dict(
    embed_dim=128,
    quick_gelu=False,
    vision_cfg=dict(image_size=64, patch_size=16, width=128, layers=4, head_width=32),
    text_cfg=dict(context_length=77, vocab_size=49408, width=128, heads=4, layers=2))

model = dict(
    type='FewShotRecognizer',
    backbone=dict(
        type='MACLIPVisualBackbone',
        model=tower,
        pretrained=start,
        num_frames=8,
        adapter=dict(ratio=0.25, joint_scale=1.0)),
    text=dict(
        type='ClassTextBank',
        templates=['a photo of {}'],
        average='raw',
        normalize=False,
        tower=dict(type='CLIPTextTower', model=tower, pretrained=start, frozen=True)),
    neck=dict(type='TPCM', embed_dim=128, ffn_channels=512),
    cls_head=dict(type='MACLIPHead', matcher=dict(type='OTAMMatcher', smoothing=0.5), alpha=0.5),
    data_preprocessor=dict(type='FewShotDataPreprocessor', size=(64, 64)))
# Not an option: what was set here would no longer reach the two towers.
del start
