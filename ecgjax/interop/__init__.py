"""Weights from elsewhere, and models for elsewhere."""
