"""An adapter for each system.

``roster``: all of them, by name.
``ours``: scattergather, embedded and over Foolscap.
``stdlib``: ``ProcessPoolExecutor`` and ``multiprocessing.Pool``.
``loky``: joblib.
``dask``: dask.distributed.
``parallel``: ipyparallel.
``ray``: Ray.
``bare``: no system at all, the figures that nobody can beat.
"""
