# HMDB51: three accuracies of every test.
_base_ = ['../../few_shot_video/_base_/rn50_hmdb51.py']
three = dict(type='FewShotAccuracy', modes=('few_shot', 'text', 'combine'))
val_evaluator = dict(sets=dict(hmdb51_1shot=three))
test_evaluator = dict(
    sets=dict(
        hmdb51_1shot=three,
        hmdb51_2shot=three,
        hmdb51_3shot=three,
        hmdb51_4shot=three,
        hmdb51_5shot=three))
# Not an option: what was set here would no longer reach the sets.
del three
