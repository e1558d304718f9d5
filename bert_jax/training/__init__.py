"""Training: losses, optimizers, masking, the step and how it is spread, the loop, checkpoints."""
