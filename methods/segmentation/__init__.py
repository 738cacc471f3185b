"""Methods of the task `segmentation`."""
