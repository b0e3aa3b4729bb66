"""Two questions about one picture, answered by one network.

Which digit is it, and how much ink was used? The first layers serve both outputs, each
with a loss of its own, and the losses are added with weights.

python examples/multi_output.py [EPOCHS]
"""

import sys
import tempfile

import chainrule as cr
from chainrule.layers import Dense, Dropout, Flatten, Input

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 40
cr.set_seed(0)
(x_train, y_train), (x_test, y_test) = cr.datasets.digits.load_data()


def targets(images, labels):
    """The answers, by the names of the outputs."""
    return {"digit": labels, "ink": images.mean(axis=(1, 2))}


picture = Input((8, 8), name="picture")
hidden = Dense(64, activation="relu", name="hidden")(Flatten()(picture))
outputs = {
    "digit": Dense(10, activation="softmax", name="digit")(Dropout(0.2)(hidden)),
    "ink": Dense(1, name="ink")(hidden),
}
model = cr.Model(picture, outputs, name="two_questions")
model.compile(
    "adam",
    loss={"digit": "sparse_categorical_crossentropy", "ink": "mse"},
    loss_weights={"digit": 1.0, "ink": 10.0},
    metrics={"digit": ["accuracy"], "ink": ["mae"]},
)
model.summary()
model.fit(x_train, targets(x_train, y_train), epochs=EPOCHS, verbose=0, seed=0)

measured = model.evaluate(x_test, targets(x_test, y_test), verbose=0, return_dict=True)
for name, value in measured.items():
    print(f"{name:>16}: {value:.4f}")

# One file has the graph, the weights, and the state of the optimizer.
with tempfile.TemporaryDirectory() as folder:
    loaded = cr.load_model(model.save(f"{folder}/two_questions.chainrule"))
answers = loaded.predict(x_test[:3], verbose=0)
print("digits:", y_test[:3], "predicted:", answers["digit"].argmax(axis=-1))
print("ink:", x_test[:3].mean(axis=(1, 2)).round(2), end=" ")
print("predicted:", answers["ink"][:, 0].round(2))
