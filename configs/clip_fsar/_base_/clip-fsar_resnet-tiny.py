# CLIP-FSAR on the small CLIP that was trained on pictures of shapes and their captions; make that first:
# python tools/train.py configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py
_base_ = ['../../_base_/models/few_shot_resnet-tiny.py']
custom_imports = dict(imports=['clipplus.methods.clip_fsar'], allow_failed_imports=False)

start = 'work_dirs/clip_resnet-tiny_1xb128-8e_shapes/epoch_8.pth'
tower = dict(embed_dim=128, vision_cfg=dict(image_size=64, width=24), text_cfg=dict(width=128, heads=4, layers=2))

model = dict(
    # 32 px of the 64 that it was trained on: a quarter of the cost.
    backbone=dict(model=tower, pretrained=start, image_size=32),
    data_preprocessor=dict(size=(32, 32)),
    text=dict(
        type='ClassTextBank',
        templates=['a photo of {}'],
        average='raw',
        normalize=False,
        tower=dict(type='CLIPTextTower', model=tower, pretrained=start, frozen=True)),
    cls_head=dict(
        _delete_=True, type='CLIPFSARHead', in_channels=128, hidden=256, class_loss_weight=1.5, shot_merge='after'))
# Not an option: what was set here would no longer reach the two towers.
del start
