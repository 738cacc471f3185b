"""One folder a task: its protocol, metrics, data sets and workload."""
