# Nothing is trained: clips are compared by the averages of a frozen CLIP's frames.
_base_ = ['./mean-pool_vit-base-p16.py']
model = dict(backbone=dict(frozen=True))
