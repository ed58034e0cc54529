"""Search in galleries of embeddings, and thresholds that say which pictures show the same person."""
