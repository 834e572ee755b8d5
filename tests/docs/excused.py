"""The commands of the pages that no test can run, each with the reason."""

INSTALLS = "installs from a registry; CI runs it"
CLUSTER = "needs Slurm; tests/sweep/test_sharing.py runs shards"
RAY = "starts or joins Ray, which takes a machine's cores; tests/sweep/test_ray.py does it"
FROZEN = "records for many minutes; a check for a refactoring, run by hand"
GPU = "needs an NVIDIA GPU; tests/test_gpu_check.py runs its steps on a CPU"
JOINED = "two processes that wait for each other; tests/sweep/test_multihost.py joins two"

EXCUSED = {
    "make quickstart": "installs, then runs a sweep that takes minutes; its command is run small",
    "make setup-all": INSTALLS,
    "make system": INSTALLS,
    "make lint": "CI runs it",
    "make format": "changes the files",
    "make test": "this is it",
    "make newest": "installs from a registry, for minutes; run by hand",
    "make gpu-check": GPU,
    "python -m benchmarks.gpu_check --steps speed ant --minutes 5 --out results/gpu_speed": GPU,
    "make docs": "tests/docs/test_build.py builds the site",
    "make tour": "a minute of drawing; tests/analysis/test_gallery.py draws the kinds",
    "source .venv/bin/activate": "changes the shell",
    "apt-get download r-cran-janeaustenr": INSTALLS,
    "export RL_ES_AUSTEN=$PWD": "changes the shell",
    "python -m benchmarks.text_references text/austen": "needs the novels; tests/envs/text runs it",
    "python run_benchmark.py import rwkv7 model.pth --env text/files --settings "
    "'{folder: texts, logits: nats, vocabulary: rwkv_vocab_v20230424.txt}' --out results/start": (
        "needs published weights; tests/tools/test_import_rwkv7.py imports random ones"
    ),
    "pip install 'rl_es[ray]'": INSTALLS,
    "pip install 'rl_es[cuda]'": INSTALLS,
    "python run_benchmark.py run sweeps/quickstart.yaml --executor ray": RAY,
    "python run_benchmark.py run sweeps/quickstart.yaml --executor ray "
    "--address 10.0.0.1:6379 --ray-cpus 4": RAY,
    "python run_benchmark.py run sweeps/quickstart.yaml "
    "--coordinator 127.0.0.1:9876 --processes 2 --process 0 &": JOINED,
    "python run_benchmark.py run sweeps/quickstart.yaml "
    "--coordinator 127.0.0.1:9876 --processes 2 --process 1": JOINED,
    "git worktree add ../before main": "changes the repository",
    "python -m tests.frozen record /tmp/before --checkout ../before": FROZEN,
    "python -m tests.frozen record /tmp/after": FROZEN,
    "python -m tests.frozen compare /tmp/before /tmp/after": FROZEN,
    "srun --ntasks-per-node=8 --gpus-per-node=8 "
    "python run_benchmark.py run sweeps/quickstart.yaml --cluster": CLUSTER,
    "array=$(sbatch --parsable --array=0-7 docs/slurm_array.sh sweeps/quickstart.yaml)": CLUSTER,
    "sbatch --dependency=afterany:$array docs/slurm_array.sh report results/quickstart": CLUSTER,
}

# Blocks in which a command takes long even on a small budget.
SLOW = {
    "--workers": "each worker is a process of its own",
    "results/reference/ranks": "the report of two whole ablations",
    "sweeps/pes/swimmer.yaml": "brax's generalized backend compiles for long",
}

# Commands that need an extra beyond `dev`, and the extra.
EXTRAS = {
    "run_benchmark.py speed sweeps/speed/cartpole.yaml": "evosax",
    "run_benchmark.py tensorboard ": "tensorboard",
    "--tensorboard": "tensorboard",
    "run_benchmark.py tune ": "hpo",
}
