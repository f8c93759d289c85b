"""Self-supervised learning on ECG and other body signals, in JAX/Flax."""

__version__ = "0.1.0"
