# Eleven classification sets, zero-shot, as CLIP's successors compare themselves, see docs/zero_shot.md. The headline metric
# is top1, but mean_class for pets, flowers102, caltech101 and aircraft, as in OpenAI's paper.
_base_ = ['./zeroshot_imagenet.py']
data_root = 'data/'
load_and_view = [dict(type='LoadImageFromFile', imdecode_backend='pillow'), *_base_.clip_view]
# mmpretrain's CIFAR sets give RGB, everything else BGR, which the preprocessor turns to RGB.
cifar_view = [
    dict(type='mmpretrain.NumpyToPIL', to_rgb=False),
    dict(type='mmpretrain.PILToNumpy', to_bgr=True), *_base_.clip_view
]
collate = dict(type='pseudo_collate')

test_dataloader = dict(
    sets=dict(
        cifar10=dict(
            collate_fn=collate,
            dataset=dict(
                type='mmpretrain.CIFAR10',
                data_root=data_root + 'cifar10',
                split='test',
                test_mode=True,
                download=False,
                pipeline=cifar_view)),
        cifar100=dict(
            collate_fn=collate,
            dataset=dict(
                type='NamedClasses',
                dataset=dict(
                    type='mmpretrain.CIFAR100',
                    data_root=data_root + 'cifar100',
                    split='test',
                    test_mode=True,
                    download=False,
                    pipeline=cifar_view))),
        food101=dict(
            collate_fn=collate,
            dataset=dict(
                type='NamedClasses',
                dataset=dict(
                    type='mmpretrain.Food101',
                    data_root=data_root + 'food-101',
                    split='test',
                    pipeline=load_and_view))),
        pets=dict(
            collate_fn=collate,
            dataset=dict(
                type='NamedClasses',
                dataset=dict(
                    type='mmpretrain.OxfordIIITPet',
                    data_root=data_root + 'Oxford-IIIT_Pets',
                    split='test',
                    pipeline=load_and_view))),
        flowers102=dict(
            collate_fn=collate,
            dataset=dict(
                type='mmpretrain.Flowers102',
                data_root=data_root + 'Flowers102',
                split='test',
                pipeline=load_and_view)),
        sun397=dict(
            collate_fn=collate,
            dataset=dict(
                type='NamedClasses',
                dataset=dict(
                    type='mmpretrain.SUN397', data_root=data_root + 'SUN397', split='test', pipeline=load_and_view))),
        cars=dict(
            collate_fn=collate,
            dataset=dict(
                type='mmpretrain.StanfordCars',
                data_root=data_root + 'stanfordcars',
                split='test',
                pipeline=load_and_view)),
        dtd=dict(
            collate_fn=collate,
            dataset=dict(type='mmpretrain.DTD', data_root=data_root + 'dtd', split='test', pipeline=load_and_view)),
        # 102 folders, of which the background is no class.
        caltech101=dict(
            collate_fn=collate,
            dataset=dict(
                type='NamedClasses',
                drop=['BACKGROUND_Google'],
                dataset=dict(
                    type='mmpretrain.Caltech101',
                    data_root=data_root + 'caltech-101',
                    split='test',
                    pipeline=load_and_view))),
        aircraft=dict(
            collate_fn=collate,
            dataset=dict(
                type='mmpretrain.FGVCAircraft',
                data_root=data_root + 'fgvc-aircraft-2013b',
                split='test',
                pipeline=load_and_view))))
# classes=None takes the data set's names, which are OpenAI's but for two sets.
test_evaluator = dict(
    sets=dict(
        cifar10=dict(
            type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-cifar')),
        cifar100=dict(
            type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-cifar')),
        food101=dict(
            type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-food101')),
        pets=dict(type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-pets')),
        flowers102=dict(
            type='ZeroShotAccuracy',
            topk=(1, 5),
            texts=dict(type='ClassTextBank', classes='flowers102', templates='openai-flowers102')),
        sun397=dict(
            type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-sun397')),
        cars=dict(type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-cars')),
        dtd=dict(type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-dtd')),
        caltech101=dict(
            type='ZeroShotAccuracy',
            topk=(1, 5),
            texts=dict(type='ClassTextBank', classes='caltech101', templates='openai-caltech101')),
        aircraft=dict(
            type='ZeroShotAccuracy', topk=(1, 5), texts=dict(type='ClassTextBank', templates='openai-aircraft'))))

val_dataloader = test_dataloader
val_evaluator = test_evaluator
