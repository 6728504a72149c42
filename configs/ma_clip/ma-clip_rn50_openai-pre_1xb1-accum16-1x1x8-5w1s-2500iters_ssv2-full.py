# python tools/train.py configs/ma_clip/ma-clip_rn50_openai-pre_1xb1-accum16-1x1x8-5w1s-2500iters_ssv2-full.py
# Published: 58.8 / 63.6 % with 1 / 5 shots (tables 1 and 2). Not run here.
_base_ = ['./_base_/ma-clip_rn50.py', './_base_/ssv2-full.py']
optim_wrapper = dict(optimizer=dict(lr=5e-5))
