# The small CLIP of configs/clip with the two towers that a data set's own training left; see the file that inherits this.
_base_ = ['./few_shot.py']
tower = dict(
    embed_dim=128,
    quick_gelu=False,
    vision_cfg=dict(image_size=64, patch_size=None, width=24, layers=[1, 1, 1, 1]),
    text_cfg=dict(context_length=77, vocab_size=49408, width=128, heads=4, layers=2))

model = dict(
    type='FewShotClassifier',
    image_tower=dict(type='CLIPImageTower', model=tower, frozen=True),
    text_bank=dict(type='ClassTextBank', tower=dict(type='CLIPTextTower', model=tower, frozen=True)))
