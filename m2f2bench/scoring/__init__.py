"""From saved rows to numbers; never imports torch."""
