"""Training of the detectors' own networks: labelled images in, weights with a model card beside them out."""
