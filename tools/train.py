"""Train what a config describes.

Examples:
    python tools/train.py configs/clip/clip_resnet-tiny_1xb128-8e_shapes.py
    python tools/train.py CONFIG --resume                     # go on from the newest checkpoint of the work dir
    python tools/train.py CONFIG --dry-run                    # build everything, train 3 updates, estimate the cost
    python tools/train.py CONFIG --cfg-options train_dataloader.batch_size=64 optim_wrapper.optimizer.lr=1e-3
    bash tools/dist_train.sh CONFIG 8                         # 8 processes on this machine
"""

import argparse

from mmengine.config import Config

from clipplus.engine.dry_run import dry_run
from clipplus.engine.launch import (
    add_run_arguments,
    build_runner,
    load_config,
    log_to_tensorboard,
    resume_from,
    run_tool,
)


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="go on from a checkpoint, or from the newest in a folder; without PATH from the newest in the work dir (a "
        "fresh start if there is none)",
    )
    parser.add_argument("--amp", action="store_true", help="bfloat16 on GPUs (fp32 on the CPU)")
    parser.add_argument("--no-validate", action="store_true", help="train without evaluating")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate by batch size over auto_scale_lr.base_batch_size",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="build everything, train 3 updates, print memory, samples/s and ETA"
    )
    return parser.parse_args(argv)


def apply_arguments(config: Config, arguments: argparse.Namespace) -> None:
    """Put the choices of the command line into the config.

    Raises:
        ValueError: a checkpoint to resume from that does not exist or is damaged; --auto-scale-lr without a base batch
            size.
    """
    if arguments.resume:
        resume_from(config, arguments.resume)
    if arguments.amp:
        config.optim_wrapper.type = "AutoAmpOptimWrapper"
        for option in ("loss_scale", "dtype"):
            config.optim_wrapper.pop(option, None)
    if arguments.no_validate:
        for key in ("val_cfg", "val_dataloader", "val_evaluator"):
            config[key] = None
    if arguments.auto_scale_lr:
        if not (config.get("auto_scale_lr") or {}).get("base_batch_size"):
            raise ValueError(f"--auto-scale-lr: {arguments.config} states no auto_scale_lr.base_batch_size")
        config.auto_scale_lr.enable = True
        # mmengine scales by batch size and ranks; an update also sees every accumulated batch.
        config.auto_scale_lr.base_batch_size /= config.optim_wrapper.get("accumulative_counts", 1)


def main(argv: list[str] | None = None) -> None:
    """Train."""
    arguments = parse_arguments(argv)
    config = load_config(arguments)
    apply_arguments(config, arguments)
    if arguments.dry_run:
        dry_run(config)
    else:
        log_to_tensorboard(config)
        build_runner(config).train()


if __name__ == "__main__":
    run_tool(main)
