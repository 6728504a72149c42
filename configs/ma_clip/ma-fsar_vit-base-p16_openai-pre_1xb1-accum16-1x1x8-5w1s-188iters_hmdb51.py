# python tools/train.py configs/ma_clip/ma-fsar_vit-base-p16_openai-pre_1xb1-accum16-1x1x8-5w1s-188iters_hmdb51.py
# No number was published that could be checked. Not run here.
_base_ = ['./_base_/ma-fsar_vit-base-p16.py', './_base_/hmdb51.py']
model = dict(data_preprocessor=dict(query_flip=0.5))
