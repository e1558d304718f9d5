"""What a fine-tuned model is worth: report.json, report.html, and the model card."""
