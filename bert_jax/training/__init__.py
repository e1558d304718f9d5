"""Training: the step, data parallelism, the loop, optimizers, checkpoints, run directories."""
