"""How fast chainrule trains, measured beside the libraries that people know.

    python -m benchmarks [WORKLOAD ...] [--peers torch,jax,keras,sklearn,onnxruntime]

`workloads` says what is trained, of the layers of `networks` on the data of `samples`;
`systems` has one file for each library, `measure` runs them in processes of their own,
`report` and `page` show the figures. Nothing that the processes of the peers load
imports chainrule.
"""
