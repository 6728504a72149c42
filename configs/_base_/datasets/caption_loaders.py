# What the loaders of image-text data have in common: order and randomness by position, ragged caption batches.
train_dataloader = dict(
    batch_size=128,
    num_workers=1,
    persistent_workers=False,
    worker_init_fn=dict(type='quiet_worker'),
    collate_fn=dict(type='caption_collate'),
    sampler=dict(type='EpochOrder'),
    batch_sampler=dict(type='GlobalBatches'),
    dataset=dict(type='KeyedDataset', on_bad_sample='replace'))

val_dataloader = dict(
    batch_size=128, num_workers=0, persistent_workers=False, collate_fn=dict(type='caption_collate'))
test_dataloader = val_dataloader
val_cfg = dict(type='MultiDatasetValLoop')
test_cfg = dict(type='MultiDatasetTestLoop')
