"""How fills are measured: pictures and holes, methods, metrics, tables."""
