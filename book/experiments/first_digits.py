"""The first test image of each class of MNIST, rounded to 0 and 1, as bits: ten images to complete, chosen by no one.

python book/experiments/first_digits.py          some seconds; reads MNIST
"""

import numpy
import run

import made

if __name__ == "__main__":
    split = made.data.load("mnist")
    first = [int((split.test_labels == digit).nonzero()[0]) for digit in range(10)]
    path = run.RESULTS / "first_digits.npz"
    numpy.savez_compressed(path, rows=first, images=numpy.packbits(split.test[first].bool().numpy(), axis=1))
    print(path)
