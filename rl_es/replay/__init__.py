"""Films of trained policies, one episode each, and pages that play them."""
