"""Tables, plots and pages made from records. Reads the store, runs nothing, never imports torch."""
