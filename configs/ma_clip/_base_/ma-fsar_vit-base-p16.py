# MA-FSAR, version 2 of the paper: the same modules with a prompt of its own.
_base_ = ['./ma-clip_vit-base-p16.py']
model = dict(text=dict(templates=['a video of {}']))
