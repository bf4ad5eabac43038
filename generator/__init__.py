"""Triptych: one services.yaml becomes three repositories and keeps them in step."""
