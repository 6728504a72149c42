# python tools/train.py configs/ma_clip/ma-clip_vit-base-p16_openai-pre_1xb1-accum4-8x35x1-5w1s-250iters_kinetics100.py
# Published: 95.7 / 96.0 % with 1 / 5 shots (tables 1 and 2). Not run here.
_base_ = ['./_base_/ma-clip_vit-base-p16.py', './_base_/kinetics100.py']
model = dict(data_preprocessor=dict(query_flip=0.5))
