"""What a model's weights are multiplied with when it reads text."""
