"""What was lost: error per tensor, perplexity, KL divergence, text side by side."""
