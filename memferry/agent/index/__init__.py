"""The local index: kept up with what was read and pulled, behind everything else."""
