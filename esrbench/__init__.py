"""esrbench: export Real-ESRGAN to every runtime, prove each export, measure them side by side."""

__version__ = "0.1.0"
