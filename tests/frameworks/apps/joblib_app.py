"""joblib, with its own pool of processes."""

import said
from joblib import Parallel, delayed

if __name__ == "__main__":
    from loguru_stdbridge import install_bridge

    install_bridge()

    Parallel(n_jobs=2)(delayed(task)() for task in (said.say, said.warn, said.end_thread))
    said.end_child()
    Parallel(n_jobs=2)(delayed(task)() for task in (said.fail, str))
