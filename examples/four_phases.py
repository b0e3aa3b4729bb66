"""The four phases of a training step: first every number, then a real network.

python examples/four_phases.py
"""

import chainrule as cr

# A network small enough to check with pencil and paper. Its task: tell whether two
# inputs differ (exclusive or), which no single layer can.
x = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
y = [0, 1, 1, 0]

model = cr.Sequential(
    [
        cr.layers.Dense(2, activation="tanh", input_shape=(2,), name="hidden"),
        cr.layers.Dense(1, activation="sigmoid", name="output"),
    ]
)
model.set_weights([[[1.0, -0.5], [0.5, 1.0]], [0.1, 0.2], [[1.0], [-1.0]], [0.0]])
model.compile(cr.optimizers.SGD(0.5), "binary_crossentropy")
step = cr.trace_step(model, x, y)

# All numbers are there to work with. The gradient of the output's weights is the
# product of what went in and the error that came back.
output = step["output"]
product = output.input.T @ output.pre_activation_error
print("\nby hand:\n", product, "\nby backpropagation:\n", output.weights[0].gradient)

# The same for a network on real digits: statistics instead of every number.
(x_train, y_train), _ = cr.datasets.digits.load_data()
network = cr.Sequential(
    [
        cr.layers.Input((8, 8)),
        cr.layers.Flatten(),
        cr.layers.Dense(32, activation="relu", name="hidden"),
        cr.layers.Dense(10, activation="softmax", name="classes"),
    ]
)
network.compile("adam", "sparse_categorical_crossentropy")
print()
cr.trace_step(network, x_train[:32], y_train[:32])
