"""Methods of architecture search."""
