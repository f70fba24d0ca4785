//! Text metrics: exact match, F1, ROUGE, edit distance, JSON checks.
