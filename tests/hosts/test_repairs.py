"""Each repair in a fresh interpreter: what failed works afterwards, and what works is left alone."""

import subprocess
import sys
import textwrap

import pytest


def python(code: str) -> str:
    """Output of `code` in a fresh interpreter; its error output when it fails."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    return run.stdout.strip() if run.returncode == 0 else "failed: " + run.stderr.strip().splitlines()[-1]


def test_mmseg_can_be_imported_and_a_runner_is_not_fooled() -> None:
    output = python("""
        from clipplus.hosts import prepare
        assert prepare("mmseg") == ["repair_mmcv_ext"] and prepare("mmseg") == ["repair_mmcv_ext"]
        import mmseg.models
        from mmengine.model import revert_sync_batchnorm
        from mmengine.utils.dl_utils import mmcv_full_available
        from torch import nn
        print(mmcv_full_available(), type(revert_sync_batchnorm(nn.Sequential(nn.SyncBatchNorm(2)))[0]).__name__)
        import mmcv
        try:
            mmcv._ext.nms()
        except (RuntimeError, AttributeError) as error:
            print(error)
    """)
    assert output.splitlines()[0] == "False _BatchNormXd"


def test_missing_operators_say_what_they_need() -> None:
    output = python("""
        from clipplus.hosts import repair_mmcv_ext
        repair_mmcv_ext()
        import sys
        sys.modules["mmcv._ext"].nms
        try:
            sys.modules["mmcv._ext"].nms(1)
        except RuntimeError as error:
            print(error)
    """)
    assert output == "'nms' needs the full mmcv with compiled operators; installed is mmcv-lite"


def test_a_working_mmcv_ext_is_not_shadowed() -> None:
    output = python("""
        import sys, types
        real = types.ModuleType("mmcv._ext")
        sys.modules["mmcv._ext"] = real
        from clipplus.hosts import repair_mmcv_ext
        print(repair_mmcv_ext(), sys.modules["mmcv._ext"] is real)
    """)
    assert output == "False True"


def test_mmaction_models_can_be_built() -> None:
    pytest.importorskip("mmaction")
    output = python("""
        from clipplus.hosts import prepare
        print(prepare("mmaction"))
        from mmengine.registry import DefaultScope
        import mmaction.models
        from mmaction.registry import MODELS
        print(type(MODELS.build(dict(type="mmaction.TSNHead", num_classes=3, in_channels=4))).__name__)
    """)
    assert output.splitlines() == ["['repair_mmaction_drn', 'repair_mmaction_multimodal']", "TSNHead"]


@pytest.mark.parametrize(("host", "module"), [("mmseg", "mmseg.models"), ("mmaction", "mmaction.models")])
def test_without_repair_the_host_cannot_be_imported(host: str, module: str) -> None:
    """When this fails, upstream is healthy and the repair can go."""
    assert python(f"import {module}").startswith("failed: ")


def test_unknown_host_is_refused() -> None:
    assert python("from clipplus.hosts import prepare; prepare('mmdet')") == (
        "failed: ValueError: unknown host 'mmdet'; known: mmpretrain, mmseg, mmaction"
    )
