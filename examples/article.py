"""A first network as many tutorials print it, with one line changed: the import.

It has three mistakes. The images have 784 pixels and the first layer takes 10 inputs;
there are ten digits and one output; binary cross-entropy is for labels of 0 and 1.
Other libraries stop at the first, and once that is mended train in silence, down to a
loss of about -55. Here the script ends before the first step, with all three named and
the corrected lines; `article_corrected.py` is the script with these.

    python examples/article.py

Where MNIST is neither on the machine nor to be had, the digits of scikit-learn stand in
for it, enlarged and repeated to its shape: the mistakes are the same.
"""

import numpy as np

import chainrule as tf


def load_images():
    """MNIST, or real digits in its shape."""
    try:
        return tf.keras.datasets.mnist.load_data()
    except tf.errors.DownloadError:
        print("MNIST cannot be had here: the digits of scikit-learn stand in for it")
    parts = zip(tf.datasets.digits.load_data(), (60000, 10000), strict=True)
    return tuple((enlarged(x, rows), np.resize(y, rows)) for (x, y), rows in parts)


def enlarged(x, rows):
    """Images of 8 by 8 pixels as `rows` images of 28 by 28."""
    pixels = (np.reshape(x, (-1, 8, 8)) * 255).astype("uint8")
    large = np.pad(pixels.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))
    return np.resize(large, (rows, 28, 28))


(x_train, y_train), (x_test, y_test) = load_images()
x_train = x_train.reshape(60000, 784).astype("float32") / 255
x_test = x_test.reshape(10000, 784).astype("float32") / 255

model = tf.keras.Sequential(
    [
        tf.keras.layers.Dense(10, activation="relu", input_shape=(10,)),
        tf.keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, epochs=10, batch_size=32, validation_data=(x_test, y_test))

loss, accuracy = model.evaluate(x_test, y_test)
print("Test loss:", loss)
print("Test accuracy:", accuracy)
