"""What dxflow does with SLURM: sites, jobs of workers that are kept alive, drivers as jobs."""
