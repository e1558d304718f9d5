"""Results of a fine-tuned model: report.json, report.html, and the model card."""
