# UCF101 for ViT-B/16: no rates were published for it. This one is a proposal that nobody has tried; the rest is RN50's.
_base_ = ['./rn50_ucf101.py']
optim_wrapper = dict(optimizer=dict(lr=1e-6))
