# ImageNet-1k. It has no validation split of its own: what is chosen is chosen on 10 further pictures per class of the
# training set, none of them a shot. The papers choose on the test set; train_cfg.search.on='test' does so, too, and says it.
# The same classifier is tested on ImageNet-V2 (matched frequency) and ImageNet-Sketch, two shifts of distribution.
_base_ = ['./rn50.py']
model = dict(text_bank=dict(templates='openai-7'))

train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            dataset=dict(
                _delete_=True,
                type='RenamedClasses',
                classes='imagenet',
                dataset=dict(type='ImageNet', data_root='data/imagenet', split='train', pipeline=_base_.augmented)))))
val_dataloader = dict(
    sets=dict(
        held_out=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='FewShotSubset',
                num_shots=16,
                seed=1,
                part='holdout',
                holdout=10,
                dataset=dict(
                    type='RenamedClasses',
                    classes='imagenet',
                    dataset=dict(type='ImageNet', data_root='data/imagenet', split='train', pipeline=_base_.plain))))))
val_evaluator = dict(sets=dict(held_out=dict(type='ZeroShotAccuracy', topk=(1, 5))))

test_dataloader = dict(
    sets=dict(
        imagenet=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='RenamedClasses',
                classes='imagenet',
                dataset=dict(type='ImageNet', data_root='data/imagenet', split='val', pipeline=_base_.plain))),
        imagenet_v2=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='RenamedClasses',
                classes='imagenet',
                dataset=dict(
                    type='NumberedFolders',
                    data_root='data/imagenetv2/imagenetv2-matched-frequency-format-val',
                    pipeline=_base_.plain))),
        imagenet_sketch=dict(
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='RenamedClasses',
                classes='imagenet',
                dataset=dict(
                    type='CustomDataset', data_root='data/imagenet-sketch/images', pipeline=_base_.plain)))))
test_evaluator = dict(
    sets=dict(
        imagenet=dict(type='ZeroShotAccuracy', topk=(1, 5)),
        imagenet_v2=dict(type='ZeroShotAccuracy', topk=(1, 5)),
        imagenet_sketch=dict(type='ZeroShotAccuracy', topk=(1, 5))))
