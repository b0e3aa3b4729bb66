"""How fast chainrule trains, measured beside the libraries that people know.

    python -m benchmarks [WORKLOAD ...] [--peers torch,jax,keras,sklearn]

`workloads` says what is trained, `systems` has one file for each library, `measure`
runs them in processes of their own, `report` and `page` show the figures. Nothing that
the processes of the peers load imports chainrule.
"""
