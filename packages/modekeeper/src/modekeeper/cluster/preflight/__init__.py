"""Is this cluster ready for ModeKeeper? Facts gathered at once, then one small pure check per subject."""
