# python tools/train.py configs/ma_clip/ma-clip_rn50_openai-pre_1xb1-accum16-1x1x8-5w1s-188iters_hmdb51.py
# Published: 73.3 / 82.1 % with 1 / 5 shots (tables 1 and 2). Not run here.
_base_ = ['./_base_/ma-clip_rn50.py', './_base_/hmdb51.py']
model = dict(data_preprocessor=dict(query_flip=0.5))
optim_wrapper = dict(optimizer=dict(lr=1e-5))
