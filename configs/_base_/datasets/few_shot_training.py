# Training of the few-shot benchmarks: 5-way 1-shot episodes with 5 queries per class, 240 frames each (CLIP-FSAR's).
train_dataloader = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    worker_init_fn=dict(type='quiet_worker'),
    sampler=dict(type='EpochOrder'),
    batch_sampler=dict(type='GlobalBatches'),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='KeyedDataset',
        # Trainings are counted in updates; an epoch is what is drawn anew after it.
        dataset=dict(type='EpisodeDataset', split='train', way=5, shots=1, queries=5, num_episodes=10000)))

val_dataloader = dict(
    batch_size=64, num_workers=8, persistent_workers=True, collate_fn=dict(type='pseudo_collate'))
val_cfg = dict(type='FeatureCacheValLoop')
