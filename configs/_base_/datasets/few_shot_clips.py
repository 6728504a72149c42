# Clips of the few-shot benchmarks, 8 frames each. docs/few_shot_data.md says where the videos go.
splits = '{{ fileDirname }}/few_shot_splits/'

# frame_cache=dict(folder='data/few_shot_frames') decodes every video once, for all configs; the page says what it costs.
opened = dict(type='ClipInit')
# One frame of each of 8 equal stretches: anywhere in training, the middle in evaluation.
segments = dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=8)
# 256 x 256, whatever the aspect ratio was; the device crops 224 x 224.
pack = [
    dict(type='ClipDecode'),
    dict(type='Resize', scale=(256, 256), keep_ratio=False),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs')
]
random_clip = [opened, segments, *pack]
middle_clip = [opened, dict(segments, test_mode=True), *pack]

# Of a test. Every video is encoded once for all episodes of all shots; a batch is 64 episodes.
test_dataloader = dict(
    batch_size=64, num_workers=8, persistent_workers=True, collate_fn=dict(type='pseudo_collate'))
test_cfg = dict(type='FeatureCacheTestLoop')
