"""What makes an evolution strategy: perturbation, fitness shaping, gradient estimate, optimiser."""
