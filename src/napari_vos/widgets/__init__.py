"""Dock widgets: forms and buttons."""
