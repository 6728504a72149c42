# python tools/train.py configs/ma_clip/ma-clip_vit-base-p16_openai-pre_1xb1-accum16-1x1x8-5w1s-150iters_ucf101.py
# Published: 96.5 / 98.6 % with 1 / 5 shots (tables 1 and 2). Not run here.
_base_ = ['./_base_/ma-clip_vit-base-p16.py', './_base_/ucf101.py']
model = dict(data_preprocessor=dict(query_flip=0.5))
