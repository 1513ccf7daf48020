"""Where work runs: an ``Executor`` of the standard library over threads, Ray or Dask; knows no reports."""
