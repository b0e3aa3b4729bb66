"""A training step of one's own: two predictions of the same input must agree.

The step trains on labelled rows, and asks for equal outputs on two noisy copies of
every row. It is traced once and compiled, as the built-in one is.
"""

import sys

import numpy as np

import chainrule as cr
from chainrule.layers import Dense


class Consistent(cr.Model):
    """A classifier that is told to answer alike for inputs that are alike."""

    def __init__(self, strength: float = 1.0, noise: float = 0.3) -> None:
        super().__init__()
        self.strength, self.noise = strength, noise
        self.hidden, self.output_layer = Dense(32, "relu"), Dense(2, "softmax")
        self.disagreement = cr.metrics.Mean(name="disagreement")

    def call(self, inputs):
        """The probabilities of the two classes."""
        return self.output_layer(self.hidden(inputs))

    def train_step(self, data):
        """A step on two noisy copies of a batch."""
        x, y = data
        first, second = (
            x + self.noise * cr.random.normal(cr.random.next_key(), x.shape)
            for _ in range(2)
        )

        def loss_of():
            a, b = self(first, training=True), self(second, training=True)
            apart = cr.mean((a - b) ** 2)
            return self.compute_loss(x, y, a) + self.strength * apart, (a, apart)

        (_, (y_pred, apart)), gradients = self.value_and_grad(loss_of, has_aux=True)
        self.optimizer.apply(gradients, self.trainable_variables)
        self.disagreement.update_state(apart)
        return self.compute_metrics(x, y, y_pred)


def main(rows: int = 2000, epochs: int = 10) -> dict[str, list[float]]:
    """Train on two rings of points and print what was measured."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    angle = rng.uniform(0, 2 * np.pi, rows)
    radius = 1 + labels + rng.normal(size=rows) / 5
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    cr.set_seed(0)
    model = Consistent()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x.astype("float32"), labels, epochs=epochs, verbose=2, seed=0)
    return history.history


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
