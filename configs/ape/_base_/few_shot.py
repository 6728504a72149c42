# What all fits of a few-shot classifier have in common.
_base_ = ['../../_base_/default_runtime.py']
custom_imports = dict(imports=['clipplus.methods.ape'], allow_failed_imports=False)
default_scope = 'mmpretrain'

default_hooks = dict(fit_record=dict(type='FitRecordHook'), towers=dict(type='TowerReferencesHook'))
custom_hooks = [dict(type='ResultTableHook')]
# Every rank takes the same steps: any number of ranks gives the same classifier. DDP would refuse heads that do not train.
model_wrapper_cfg = dict(_delete_=True, type='ReplicatedModel')

train_dataloader = dict(
    batch_size=256,
    num_workers=0,
    persistent_workers=False,
    collate_fn=dict(type='pseudo_collate'),
    sampler=dict(type='EpochOrder'),
    batch_sampler=dict(type='ReplicatedBatches'))
val_dataloader = dict(batch_size=256, num_workers=0, persistent_workers=False, collate_fn=dict(type='pseudo_collate'))
test_dataloader = val_dataloader
val_cfg = dict(type='MultiDatasetValLoop')
test_cfg = dict(type='MultiDatasetTestLoop')

# The key of an image is the mean of ten augmented views of it, as published.
train_cfg = dict(type='FewShotFitLoop', num_views=10)
log_processor = dict(window_size=10)
