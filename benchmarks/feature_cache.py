"""A second fit with the same shots and tower, which reads stored features, against the first, which computes them.

APE on shapes: 80 classes with 4 shots, 10 views of each, 300 validation pictures, the small ResNet tower with random
weights (what it has learnt does not change what it costs). Both fits are whole runs of `tools/train.py`'s Runner in
processes of their own, and seconds are those of the processor; building, texts, search and writing are part of both.

    python benchmarks/feature_cache.py [--json FILE]
"""

import argparse
import tempfile
import time
from pathlib import Path

from measure import in_own_process, print_rows, write_rows

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs/ape/ape_resnet-tiny_clip-pre_16shot_shapes.py"


def fit(folder: str, work_dir: str) -> tuple[float, float]:
    """Fit; seconds of the whole run, and of its features alone, both of the processor."""
    import torch
    from mmengine.config import Config
    from mmengine.runner import Runner

    import clipplus.methods.ape.fit_loop as loop_module

    torch.set_num_threads(1)
    of_features: list[float] = []
    extract = loop_module.cached_features

    def timed(*given: object, **named: object) -> object:
        started = time.process_time()
        found = extract(*given, **named)
        of_features.append(time.process_time() - started)
        return found

    loop_module.cached_features = timed
    begun = time.process_time()
    config = Config.fromfile(CONFIG)
    config.model.image_tower.pretrained = config.model.text_bank.tower.pretrained = None
    config.train_dataloader.dataset.dataset.update(num_shots=4)
    config.val_dataloader.sets.shapes_classes.dataset.num_scenes = 300
    config.train_cfg.update(feature_cache=folder)
    config.update(work_dir=work_dir, log_level="ERROR")
    Runner.from_cfg(config).train()
    return time.process_time() - begun, sum(of_features)


def measure() -> list[dict[str, object]]:
    """One row per what is timed."""
    with tempfile.TemporaryDirectory() as folder:
        first = in_own_process(fit, f"{folder}/features", f"{folder}/first")
        second = in_own_process(fit, f"{folder}/features", f"{folder}/second")
    cases = ("whole run", "features of shots and validation")
    return [
        dict(benchmark="feature_cache", case=case, time_ratio=b / a, time_s=b, reference_s=a)
        for case, a, b in zip(cases, first, second, strict=True)
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows there")
    arguments = parser.parse_args()
    rows = measure()
    print_rows(rows)
    write_rows(rows, arguments.json)


if __name__ == "__main__":
    main()
