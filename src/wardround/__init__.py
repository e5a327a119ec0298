"""Wardround: hospitals train, prove and use imaging AI together, while every image stays where it is."""

__version__ = "0.1.0"
