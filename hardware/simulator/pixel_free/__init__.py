"""The fidelity without pixels: error models, and what eyes would have seen by them."""
