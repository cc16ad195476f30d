"""Dask with workers that nannies look after."""

import os

import said

if __name__ == "__main__":
    from loguru_stdbridge import install_bridge

    install_bridge()

    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.submit(said.say).result()
            client.submit(said.warn).result()
            client.submit(said.end_thread).result()
            said.end_child()
            (worker,) = cluster.workers.values()
            os.kill(worker.pid, 9)
            client.submit(said.fail).result()
