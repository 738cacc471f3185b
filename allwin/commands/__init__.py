"""One verb a file; each has a click command called `command`, imported only when its verb is called."""
