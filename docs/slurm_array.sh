#!/bin/bash
# A sweep as a Slurm array: each task runs its share of the groups into one results folder, and one job makes
# the report when all have ended. Needs a file system that all nodes see. From the repository's root:
#
#   array=$(sbatch --parsable --array=0-7 docs/slurm_array.sh sweeps/quickstart.yaml)
#   sbatch --dependency=afterany:$array docs/slurm_array.sh report results/quickstart
#
# A task that is ended by its time limit is sent SIGTERM first, saves what it runs, and goes on where it was when the
# same line is submitted again.
#SBATCH --job-name=rl_es
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
set -euo pipefail
source .venv/bin/activate
if [ "$1" = report ]; then
    exec python run_benchmark.py report "$2"
fi
trap 'kill -TERM "$child"; wait "$child"' TERM
python run_benchmark.py run "$1" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" "${@:2}" &
child=$!
wait "$child"
