"""One folder a task, one module or package a method."""
