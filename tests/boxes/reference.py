"""Boxes the slow way, one at a time: what the library must agree with."""

import math

import numpy as np


def area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)


def iou(a, b):
    corners = [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
    union = area(a) + area(b) - area(corners)
    return area(corners) / union if union else 0.0


def hull(a, b):
    return [min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])]


def giou(a, b):
    corners = [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]
    union = area(a) + area(b) - area(corners)
    around = area(hull(a, b))
    return iou(a, b) - ((around - union) / around if around else 0.0)


def diou(a, b):
    left, top, right, bottom = hull(a, b)
    diagonal = (right - left) ** 2 + (bottom - top) ** 2
    distance = sum(((a[i] + a[i + 2]) / 2 - (b[i] + b[i + 2]) / 2) ** 2 for i in (0, 1))
    return iou(a, b) - (distance / diagonal if diagonal else 0.0)


def ciou_parts(a, b):
    """The term of the aspect ratio, and its factor."""
    angles = [math.atan2(box[2] - box[0], box[3] - box[1]) for box in (a, b)]
    v = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    return v, (v / (1 - iou(a, b) + v) if v else 0.0)


def ciou(a, b):
    v, alpha = ciou_parts(a, b)
    return diou(a, b) - alpha * v


def suppress(boxes, scores, labels, threshold):
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    kept = []
    for i in order:
        if all(
            labels[i] != labels[j] or iou(boxes[i], boxes[j]) <= threshold for j in kept
        ):
            kept.append(i)
    return kept


def suppress_softly(boxes, scores, labels, threshold, least, method, sigma):
    left = {i: float(score) for i, score in enumerate(scores)}
    kept = []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        score = left.pop(best)
        if score <= least:
            break
        kept.append((best, score))
        for i in left:
            if labels[i] == labels[best]:
                common = iou(boxes[i], boxes[best])
                if method == "gaussian":
                    left[i] *= math.exp(-(common**2) / sigma)
                elif common > threshold:
                    left[i] *= 1 - common
    return kept


def random_boxes(generator, count, size=100.0, whole=False):
    """Boxes of all sizes; whole numbers make ties and empty boxes likely."""
    corners = generator.uniform(0, size, (count, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=-1)
    return np.round(boxes / 10) * 10 if whole else boxes
