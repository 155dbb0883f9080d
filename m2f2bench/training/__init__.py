"""What all trainable backends share."""
