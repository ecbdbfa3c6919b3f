"""Train from a recipe: `accelerate launch scripts/train.py --config recipes/countdown-tiny/grpo.yaml`."""

import sys

from rlvr.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]], prog_name="train.py")
