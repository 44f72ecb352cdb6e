"""What is measured. Each module is imported by a worker, in the environment it needs, and offers ``setup``."""
