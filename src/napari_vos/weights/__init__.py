"""Shipped weights: a safetensors file and a card each."""
