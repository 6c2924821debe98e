"""The workloads. Each is ``f(job) -> Sample``, and knows no system."""
