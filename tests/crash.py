"""Kill a training at random times, fill the disk under a save: nothing may be lost (`make crash`).

python tests/crash.py [--kills N] [--saves N] [--descriptions N] [--seed N]

1. Runs of `resumable.py` are killed at random times until they end; every one must end in the bits
   of a run that was never stopped, and every backup that a kill leaves must be whole.
2. A process that saves models in a loop is killed at random times; the file must load.
3. Saves to a full disk (a 64 KB tmpfs, where that can be mounted) leave the old file.
4. Files with random descriptions and a right digest are a model or a FormatError, nothing else.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import resumable
from test_saving_malformed import load_mutated

import convkit
from convkit import saving

SAVER = """
import sys
import resumable
path = sys.argv[1]
models = [resumable.make_model(seed) for seed in (1, 2)]
models[0].save(path)
print("ready", flush=True)
while True:
    for model in models:
        model.save(path)
"""


def killed_runs(trials, folder):
    """Kill and restart runs; return (trials, kills)."""
    whole = resumable.run(None, None)
    kills = 0
    for trial in range(trials):
        backup, result = folder / f"run{trial}", folder / f"run{trial}.json"
        frequency = random.choice(["1", "2", "3", "epoch"])
        command = [sys.executable, resumable.__file__, str(backup), frequency, str(result)]
        started = time.perf_counter()
        for attempt in range(100):
            file = backup / "backup.convkit"
            seed = 1 if not file.exists() else random.randrange(10**6)
            process = subprocess.Popen([*command, "--seed", str(seed), "--pause", "0.02"])
            try:
                # Mostly after the imports: a run of 16 steps takes 0.3 s.
                process.wait(random.uniform(0.1, 0.8) if attempt < 5 else 60)
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            if process.wait() not in (0, -signal.SIGKILL):
                sys.exit(f"run {trial} failed with {process.returncode}")
            if file.exists():
                saving.verify(file)
            if result.exists():
                break
        if json.loads(result.read_text()) != whole:
            sys.exit(f"run {trial} (save_freq {frequency}) ended in other bits")
        print(f"run {trial}: {attempt} kills, {time.perf_counter() - started:.1f} s", flush=True)
    return trials, kills


def killed_saves(trials, folder):
    """Kill a process that saves; its file must be one of two models."""
    path = folder / "model.convkit"
    known = [model.get_weights() for model in (resumable.make_model(1), resumable.make_model(2))]
    for trial in range(trials):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(Path(__file__).parent)},
        )
        process.stdout.readline()
        time.sleep(random.uniform(0, 0.02))
        process.kill()
        process.wait()
        process.stdout.close()
        loaded = convkit.load_model(path).get_weights()
        if not any(all((a == b).all() for a, b in zip(loaded, w, strict=True)) for w in known):
            sys.exit(f"save {trial}: the file holds neither model")


def full_disk(folder):
    """Save to a disk of 64 KB; return whether it could be mounted."""
    place = folder / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        return False
    try:
        path = place / "m"
        resumable.make_model(1).save(path)
        before = path.read_bytes()
        big = convkit.Sequential([convkit.Input((100,)), convkit.layers.Dense(200)])
        for _ in range(20):
            try:
                big.save(path)
                sys.exit("a model of 80 KB was saved to a disk of 64 KB")
            except OSError:
                pass
            if path.read_bytes() != before or [p.name for p in place.iterdir()] != ["m"]:
                sys.exit("a save to a full disk changed the old file or left a part")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    return True


def main():
    """Run all trials."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50, help="killed runs (default 50)")
    parser.add_argument("--saves", type=int, default=200, help="killed saves (default 200)")
    parser.add_argument(
        "--descriptions", type=int, default=20_000, help="random descriptions (default 20,000)"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    random.seed(given.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        mounted = full_disk(folder)
        print("full disk: fine" if mounted else "full disk: not tried, no tmpfs can be mounted")
        path = folder / "described"
        resumable.make_model(1).save(path)
        rng = np.random.default_rng(given.seed)
        made = load_mutated(path.read_bytes(), path, rng, given.descriptions)
        print(f"{given.descriptions} random descriptions: {made} models, the rest refused")
        killed_saves(given.saves, folder)
        print(f"{given.saves} killed saves: fine")
        trials, kills = killed_runs(given.kills, folder)
        print(f"{trials} runs with {kills} kills: all ended in the same bits")


if __name__ == "__main__":
    main()
