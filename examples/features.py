"""What a trained network hands over: features that need few labels.

A small convolutional network learns the digits 0 to 4. What its convolutions have found
is then used to tell 5 to 9, which it has never seen, from a few labelled pictures of
each: with these layers frozen, with all of them learning on, and beside it from
scratch.

python examples/features.py [EPOCHS [LABELS ...]]
"""

import sys

import numpy as np

import chainrule as cr

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
LABELS = [int(text) for text in sys.argv[2:]] or [1, 5, 20, 100]
DRAWS = 5  # of the labelled pictures
STEPS = 300

(x_train, y_train), (x_test, y_test) = cr.datasets.mnist.load_data()
x_train, x_test = x_train[..., None] / np.float32(255), x_test[..., None] / 255


def fresh(seed):
    """LeNet-5 for five classes, with weights of its own."""
    cr.set_seed(seed)
    return cr.applications.LeNet5(classes=5, activation="relu")


def taught(model, x, y, epochs, seed):
    """The model, trained on labelled pictures."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    batch = min(32, len(x))
    model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, seed=seed)
    return model


known = y_train < 5
base = taught(fresh(0), x_train[known], y_train[known], EPOCHS, seed=0)
known = y_test < 5
_, accuracy = base.evaluate(x_test[known], y_test[known], verbose=0)
print(f"digits 0 to 4, {EPOCHS} epochs: {accuracy:.1%} right\n")
learnt = base.get_weights()


def accuracies(labels, seed):
    """Right among 5 to 9: frozen features, all layers going on, from scratch."""
    numbers = np.random.default_rng([labels, seed])
    rows = [numbers.choice(np.flatnonzero(y_train == k), labels) for k in range(5, 10)]
    x, y = x_train[np.concatenate(rows)], np.repeat(np.arange(5), labels)
    epochs = max(1, STEPS * min(32, len(x)) // len(x))
    found = []
    for freeze in (True, False, None):
        if freeze is None:
            model = fresh(seed + 1)
        else:
            base.trainable = True
            base.set_weights(learnt)
            options = {"freeze": freeze, "features": "flatten"}  # of the convolutions
            model = cr.applications.with_new_head(base, classes=5, **options)
        taught(model, x, y, epochs, seed)
        found.append(model.evaluate(x_test[~known], y_test[~known] - 5, verbose=0)[1])
    return found


print("labels of each   features frozen   all layers go on   from scratch")
for labels in LABELS:
    found = np.array([accuracies(labels, seed) for seed in range(DRAWS)])
    spread = found.mean(axis=0), found.std(axis=0)
    shown = [f"{m:.1%} +- {s:.1%}" for m, s in zip(*spread, strict=True)]
    print(f"{labels:>14}   {shown[0]:>15}   {shown[1]:>16}   {shown[2]:>12}")
