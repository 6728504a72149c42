# python tools/train.py configs/clip/clip_resnet-tiny_1xb128-sigmoid-8e_shapes.py
# The sigmoid loss (SigLIP, Zhai et al. 2023) where its neighbour has the softmax; scale and bias start as in its section 3.2.
_base_ = ['./clip_resnet-tiny_1xb128-8e_shapes.py']

model = dict(loss=dict(type='SigmoidContrastiveLoss'), init_scale=10.0, init_bias=-10.0)
