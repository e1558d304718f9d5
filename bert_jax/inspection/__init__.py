"""What a trained model does with a text, as plain functions on a loaded model."""
