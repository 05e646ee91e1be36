"""lmodel: archives of model weights, some of them behind keys."""
