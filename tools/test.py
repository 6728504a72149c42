"""Evaluate a checkpoint on the sets of a config.

Examples:
    python tools/test.py CONFIG work_dirs/NAME/epoch_10.pth
    python tools/test.py CONFIG CHECKPOINT --out metrics.json --dump predictions.jsonl --show-dir pictures
    bash tools/dist_test.sh CONFIG CHECKPOINT 8
"""

import argparse
import json
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from clipplus.checkpoints.atomic import written_aside
from clipplus.engine import run_provenance
from clipplus.engine.launch import add_run_arguments, append_hook, build_runner, load_config, run_tool
from clipplus.visualization import save_predictions


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_arguments(parser)
    parser.add_argument(
        "checkpoint", nargs="?", help="checkpoint file; leave it out when the config's towers are `pretrained`"
    )
    parser.add_argument("--out", metavar="METRICS.json", help="write the metrics as JSON")
    parser.add_argument("--dump", metavar="PREDICTIONS.jsonl", help="write one line per sample")
    parser.add_argument("--show-dir", help="draw pictures of the results into this folder")
    return parser.parse_args(argv)


def require_weights(config: Config, arguments: argparse.Namespace) -> None:
    """Random weights would be evaluated without a word.

    Raises:
        ValueError: no checkpoint, and a tower that is not pretrained.
    """
    towers = {
        name: part for name, part in config.model.items() if name.endswith(("tower", "backbone")) and part is not None
    }
    random = [name for name, part in towers.items() if not part.get("pretrained")]
    if random and not arguments.checkpoint:
        raise ValueError(f"no checkpoint was given, and {', '.join(random)} of {arguments.config} is not `pretrained`")


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Evaluate, and write what was asked for."""
    arguments = parse_arguments(argv)
    if arguments.checkpoint and not Path(arguments.checkpoint).is_file():
        raise FileNotFoundError(f"checkpoint {arguments.checkpoint} does not exist")
    config = load_config(arguments)
    require_weights(config, arguments)
    if not arguments.work_dir:
        # Beside the training's results, not over them.
        config.work_dir = str(Path(config.work_dir) / "test")
    config.load_from, config.resume = arguments.checkpoint, False
    if arguments.show_dir:
        append_hook(config, dict(type="PredictionPicturesHook", out_dir=arguments.show_dir))
    runner = build_runner(config)
    metrics = runner.test()
    if is_main_process():
        if arguments.out:
            record = dict(
                metrics=metrics, config=arguments.config, checkpoint=arguments.checkpoint,
                provenance=run_provenance(runner), config_text=config.pretty_text,
            )  # fmt: skip
            with written_aside(Path(arguments.out)) as partial:
                partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        if arguments.dump:
            sets = runner.test_loop.set_metrics
            save_predictions(
                arguments.dump,
                {
                    name: [p for metric in of_set for p in getattr(metric, "predictions", [])]
                    for name, of_set in sets.items()
                },
            )
    return metrics


if __name__ == "__main__":
    run_tool(main)
