"""A plug-in as small as one can be: a task, honest methods, and one method for each way to fail."""
