"""What runs inside Lambda: the standard library and the runtime's boto3, nothing else."""
