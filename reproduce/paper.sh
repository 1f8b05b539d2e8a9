#!/usr/bin/env bash
# From API keys and GPUs to the paper's tables 2 and 3 for a model of your own: texts, training, evaluation, table.
#
#   reproduce/paper.sh --teacher gpt-5.4-2026-03-05 --judge gpt-4.1-2025-04-14 --gpus 2
#   reproduce/paper.sh --tiny --yes        everything here and now with the embedded model: no key, no GPU
#
# Stopped anywhere, the same command goes on. reproduce/README.md tells the rest.
set -euo pipefail

out=paper-run plan=paper scale=1 teacher='' judge='' recipe=mistral-7b-instruct-paper
gpus=1 max_usd='' tiny='' yes='' more=()

usage() {
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    echo "
    --out DIR        where everything goes ($out)
    --plan PLAN      a plan of skillmix generate ($plan)
    --scale NUMBER   the plan's numbers times this ($scale)
    --teacher MODEL  who writes the texts
    --judge MODEL    who judges texts and answers
    --recipe RECIPE  a recipe of skillmix train ($recipe)
    --gpus NUMBER    GPUs for the training ($gpus)
    --max-usd NUMBER dollars that each of the two paid steps may cost
    --tiny           a run of some minutes on two cores
    --yes            do not ask before beginning
    -- ARGUMENTS     for the evaluation, as lm_eval takes them"
}

fail() {
    echo "Error: $1" >&2
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
        --tiny | --yes) declare "${1#--}=1"; shift ;;
        --out | --plan | --scale | --teacher | --judge | --recipe | --gpus | --max-usd)
            [ $# -gt 1 ] || fail "$1 needs a value: type reproduce/paper.sh --help."
            name=${1#--}
            declare "${name//-/_}=$2"
            shift 2
            ;;
        --) shift; more=("$@"); break ;;
        -h | --help) usage; exit ;;
        *) fail "There is no option $1: type reproduce/paper.sh --help." ;;
    esac
done
[[ $gpus =~ ^[1-9][0-9]*$ ]] || fail "--gpus $gpus is no number of GPUs: type --gpus 2."

skillmix() { "${PYTHON:-python}" -m skillmix "$@"; }

if [ "$tiny" ]; then
    export HF_HUB_OFFLINE=1
    # On a busy machine several threads of so small a model mostly wait for one another.
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    # What lm-eval, transformers and datasets say of any run is of no use here.
    export LMEVAL_LOG_LEVEL=${LMEVAL_LOG_LEVEL:-ERROR} PYTHONWARNINGS=${PYTHONWARNINGS:-ignore::FutureWarning}
    export HF_HUB_DISABLE_PROGRESS_BARS=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
    teacher=hf:$(skillmix embedded)
    judge=$teacher
    recipe=smollm2-135m-cpu
    texts=(--k 1 --accept 2)
    # One turn, as this model seldom ends a reply in time, and an acceptable text needs all of them.
    generate=(--turns 1 --teacher-args batch_size=32,dtype=bfloat16 --teacher-prefix Answer: --teacher-stop $'\n'
        --teacher-max-tokens 64 --votes 1)
    train=(--set steps=2 --set global_batch=2)
    tasks=(--tasks skillmix_k1,skillmix_heldout_k1)
    # So small a judge may give no verdict at all: the table says so.
    compare=(--votes 1 --set max_missing=1 --limit 2 --batch_size 12 --gen_kwargs max_gen_toks=48
        --model_args dtype=bfloat16)
else
    [ "$teacher" ] && [ "$judge" ] || fail "Name who writes and who judges: --teacher MODEL --judge MODEL (or --tiny)."
    texts=(--plan "$plan" --scale "$scale")
    generate=() train=(--on-too-long drop) # they are few, and told
    tasks=() compare=(--batch_size 32)
fi
cap=(${max_usd:+--max-usd "$max_usd"})
# One GPU by default, of however many; and time for a checkpoint when a launcher is told to stop.
launch=(env "CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-0}" "${PYTHON:-python}" -m skillmix)
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-1800}
if [ "$gpus" -gt 1 ]; then
    launch=("${PYTHON:-python}" -m accelerate.commands.launch --config_file "$(skillmix fsdp2)"
        --num_processes "$gpus" -m skillmix)
fi

if [ "$tiny" ]; then
    echo "Some minutes on two cores, and nothing to pay. The scores of a model this small mean nothing."
else
    skillmix estimate "${texts[@]}" --teacher "$teacher" --judge "$judge" --recipe "$recipe"
fi
if [ -z "$yes" ]; then
    read -r -p "Begin, or go on, in $out? [y/N] " answer || fail "Nobody answers: type --yes to begin without asking."
    [[ $answer = [yY]* ]] || exit 0
fi

mkdir -p "$out"
echo "== Texts: $out/data"
skillmix generate "${texts[@]}" --teacher "$teacher" --judge "$judge" "${generate[@]}" "${cap[@]}" --out "$out/data"
if [ "$tiny" ] && [ ! -s "$out/data/rows_k1.jsonl" ]; then
    echo "The small model wrote no text that it accepted as judge, so there is nothing to train on."
    exit
fi
echo "== Training: $out/run"
"${launch[@]}" train --recipe "$recipe" "${train[@]}" --data "$out/data" --out "$out/run"
echo "== Before and after: $out/run/evaluation"
skillmix compare "$out/run" --judge "$judge" "${tasks[@]}" "${cap[@]}" "${compare[@]}" "${more[@]}"
echo "== Report: $out/report/index.html"
skillmix report before="$out/run/evaluation/before" after="$out/run/evaluation/after" -o "$out/report"
