"""Methods of positive-unlabelled learning."""
