"""nanolake: a distributed data lake for nanocrystal morphology.

Importing the package does nothing but name its version; every heavy engine is imported where it
is used.
"""

__version__ = "0.4.0"
