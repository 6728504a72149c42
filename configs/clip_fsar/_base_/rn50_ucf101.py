# UCF101: three accuracies of every test.
_base_ = ['../../few_shot_video/_base_/rn50_ucf101.py']
three = dict(type='FewShotAccuracy', modes=('few_shot', 'text', 'combine'))
val_evaluator = dict(sets=dict(ucf101_1shot=three))
test_evaluator = dict(
    sets=dict(
        ucf101_1shot=three,
        ucf101_2shot=three,
        ucf101_3shot=three,
        ucf101_4shot=three,
        ucf101_5shot=three))
# Not an option: what was set here would no longer reach the sets.
del three
