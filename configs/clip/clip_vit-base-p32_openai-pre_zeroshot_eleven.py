# python tools/test.py configs/clip/clip_vit-base-p32_openai-pre_zeroshot_eleven.py
# OpenAI's weights on eleven classification sets, zero-shot, see docs/zero_shot.md. Not run yet.
_base_ = [
    '../_base_/default_runtime.py', '../_base_/models/clip_vit-base-p32_openai.py',
    '../_base_/datasets/zeroshot_eleven.py'
]

custom_hooks = [dict(type='ResultTableHook')]
