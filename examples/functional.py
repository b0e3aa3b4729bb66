"""A model drawn as a graph: a shared layer, a skip connection, and a part used again.

Do two pictures show the same digit? Both go through the same layers, so that a digit
is described in one way, whichever side it stands on. What these layers have learned is
then taken out, frozen, and used for another task.

python examples/functional.py [EPOCHS]
"""

import sys

import numpy as np

import chainrule as cr
from chainrule.layers import Dense, Flatten, Input

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 40
cr.set_seed(0)
(x_train, y_train), (x_test, y_test) = cr.datasets.digits.load_data()


def pairs(images, labels, count, seed):
    """Pictures side by side, half of them of one digit."""
    random = np.random.default_rng(seed)
    first = random.integers(len(labels), size=count)
    second = random.integers(len(labels), size=count)
    for place in range(0, count, 2):
        same = np.flatnonzero(labels == labels[first[place]])
        second[place] = random.choice(same)
    equal = (labels[first] == labels[second]).astype("float32")
    return {"left": images[first], "right": images[second]}, equal


# One picture to 16 numbers, with a skip connection around the middle layer.
picture = Input((8, 8), name="picture")
wide = Dense(64, activation="relu", name="wide")(Flatten()(picture))
deeper = wide + Dense(64, activation="relu", name="deeper")(wide)
describe = cr.Model(picture, Dense(16, name="description")(deeper), name="describe")

# The same model on both sides; between its outputs, plain arithmetic.
left, right = Input((8, 8), name="left"), Input((8, 8), name="right")
difference = cr.abs(describe(left) - describe(right))
same = Dense(1, activation="sigmoid", name="same")(difference)
model = cr.Model({"left": left, "right": right}, same, name="pairs")
model.compile("adam", loss="binary_crossentropy", metrics=["accuracy"])
model.summary(expand_nested=True)

model.fit(*pairs(x_train, y_train, 8000, seed=0), epochs=EPOCHS, verbose=0, seed=0)
loss, accuracy = model.evaluate(*pairs(x_test, y_test, 2000, seed=1), verbose=0)
print(f"\nsame digit or not: {accuracy:.1%} right on unseen pictures")

# What was learned, used again: the layers before the description, frozen.
features = cr.Model(describe.input, describe.get_layer("deeper").output)
features.trainable = False
classes = Dense(10, activation="softmax", name="classes")(features(picture))
classifier = cr.Model(picture, classes, name="classifier")
classifier.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
classifier.fit(x_train, y_train, epochs=EPOCHS, verbose=0, seed=0)
loss, accuracy = classifier.evaluate(x_test, y_test, verbose=0)
print(f"which digit, with {classifier.count_params():,} numbers, of which ", end="")
print(f"{classifier.layers[-1].count_params()} were trained: {accuracy:.1%} right")
