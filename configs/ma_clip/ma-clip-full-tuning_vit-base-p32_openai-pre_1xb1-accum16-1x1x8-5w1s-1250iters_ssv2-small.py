# python tools/train.py configs/ma_clip/ma-clip-full-tuning_vit-base-p32_openai-pre_1xb1-accum16-1x1x8-5w1s-1250iters_ssv2-small.py
# Published: 53.9 % with 1 shot (tables 4 and 8). Not run here.
_base_ = ['./_base_/ma-clip_vit-base-p32.py', './_base_/ssv2-small.py']
model = dict(backbone=dict(_delete_=True, type='CLIPImageTower', model='ViT-B-32-quickgelu', pretrained='openai'))
optim_wrapper = dict(optimizer=dict(lr=1e-5))
