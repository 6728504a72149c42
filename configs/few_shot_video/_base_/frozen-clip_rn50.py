# Nothing is trained: clips are compared by the averages of a frozen CLIP's frames.
_base_ = ['./mean-pool_rn50.py']
model = dict(backbone=dict(frozen=True))
