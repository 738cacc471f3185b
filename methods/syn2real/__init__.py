"""Methods of transfer from synthetic to real images."""
