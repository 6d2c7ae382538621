"""Run by training/test_progress.py: train after a fork was killed while it held the lock of all progress bars."""

import torch
from killing import die, forked, waited
from tqdm import tqdm

import made


def take_the_lock_and_die():
    tqdm.get_lock().acquire()
    die()


if __name__ == "__main__":
    tqdm.get_lock()  # made before the fork, it is shared with it
    assert waited(forked(take_the_lock_and_die)) == "killed"
    print(made.fit(made.MADE(2), torch.eye(2), epochs=3, progress=False).stopped)
