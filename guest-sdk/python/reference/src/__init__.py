"""The modules of the reference system that projects import, served by Armada: see `armada` for what is new."""
