"""Tools around the engine: check, doctor, evaluate, catalogue, reference scores, templates."""
