"""What a person sees: report pages and the live view. Reads the record, inserts commands, nothing else."""
