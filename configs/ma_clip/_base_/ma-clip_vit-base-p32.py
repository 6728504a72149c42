# MA-CLIP on OpenAI's CLIP ViT-B/32: as on ViT-B/16, with that model's two towers.
_base_ = ['./ma-clip_vit-base-p16.py']
model = dict(backbone=dict(model='ViT-B-32-quickgelu'), text=dict(tower=dict(model='ViT-B-32-quickgelu')))
