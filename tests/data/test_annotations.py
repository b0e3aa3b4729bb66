"""Readers of annotations: what is in order is read, what is not is reported."""

import io
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.data import read_annotations, to_coco, to_coco_results
from chainrule.data.coco import split_name
from chainrule.data.places import FolderPlace, ZipPlace
from chainrule.data.voc import parse_xml
from chainrule.errors import ArgumentError, ChainruleError, DataError, FormatError
from chainrule.settings import SETTINGS

Image = pytest.importorskip("PIL.Image")


def picture(width=40, height=30, form="PNG", orientation=None):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), "uint8")
    made = Image.fromarray(noise)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    made.save(file, form, exif=exif)
    return file.getvalue()


def voc(*boxes, filename="a.png", size=(40, 30), extra=""):
    objects = ""
    for name, corners in boxes:
        parts = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        bounds = "".join(f"<{k}>{v}</{k}>" for k, v in parts if v is not None)
        objects += (
            f"<object><name>{name}</name>{extra}<bndbox>{bounds}</bndbox></object>"
        )
    sizes = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return (
        f"<annotation><filename>{filename}</filename>{sizes if size else ''}"
        f"{objects}</annotation>"
    ).encode()


def write(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def coco(images, annotations, categories=({"id": 3, "name": "cat"},)):
    return json.dumps(
        {
            "images": images,
            "annotations": annotations,
            "categories": list(categories),
        }
    )


IMAGE = {"id": 7, "file_name": "a.png", "width": 40, "height": 30}


def box(number=1, bbox=(1, 2, 10, 20), **changed):
    row = {"id": number, "image_id": 7, "category_id": 3, "bbox": bbox, **changed}
    return {k: v for k, v in row.items() if v is not None}


@pytest.mark.parametrize(
    ("corners", "kept", "problem"),
    [
        ((1, 2, 11, 12), (1, 2, 11, 12), None),
        ((1.5, 2, "11 ", 12), (1.5, 2, 11, 12), None),
        ((11, 12, 1, 2), (1, 2, 11, 12), "corners are swapped"),
        ((5, 5, 5, 9), None, "no area"),
        ((30, 2, 60, 12), (30, 2, 40, 12), "reaches outside"),
        ((-3, -4, 10, 50), (0, 0, 10, 30), "reaches outside"),
        ((50, 2, 60, 12), None, "lies outside"),
        (("nan", 2, 11, 12), None, "not a finite number"),
        (("inf", 2, 11, 12), None, "not a finite number"),
        (("one", 2, 11, 12), None, "xmin is missing or no number"),
        ((1, None, 11, None), None, "ymin, ymax is missing"),
    ],
)
def test_a_box_is_kept_mended_or_left_out(tmp_path, corners, kept, problem):
    write(tmp_path, a_dot_png=picture(), a_dot_xml=voc(("cat", corners)))
    annotations = read_annotations(tmp_path)
    expected = [] if kept is None else [list(kept)]
    np.testing.assert_array_equal(annotations.pictures[0].boxes.tolist(), expected)
    assert annotations.pictures[0].boxes.dtype == "float32"
    if problem is None:
        assert annotations.problems == []
    else:
        assert problem in annotations.problems[0].what
        assert annotations.problems[0].file == str(tmp_path / "a.xml")


def test_bad_files_are_reported_and_the_rest_is_read(tmp_path):
    whole = picture()
    write(
        tmp_path,
        good_dot_png=whole,
        good_dot_xml=voc(("cat", (1, 2, 9, 9)), ("", (1, 1, 2, 2)), filename="x.png"),
        half_dot_jpg=picture(form="JPEG")[:900],
        half_dot_xml=voc(("cat", (1, 2, 9, 9)), filename="half.jpg"),
        text_dot_png="no picture",
        text_dot_xml=voc(("cat", (1, 2, 9, 9)), filename="text.png"),
        gone_dot_xml=voc(("cat", (1, 2, 9, 9)), filename="gone.png"),
        again_dot_xml=voc(("cat", (1, 2, 9, 9)), filename="good.png"),
        broken_dot_xml="<annotation><filename>good.png</filename>",
        empty_dot_xml="",
        other_dot_xml="<page/>",
        bare_dot_png=whole,
        bare_dot_xml="<annotation><object><name>dog</name></object></annotation>",
        size_dot_png=whole,
        size_dot_xml=voc(("cat", (1, 2, 9, 9)), filename="size.png", size=(4, 3)),
    )
    annotations = read_annotations(tmp_path)
    names = [found.name for found in annotations.pictures]
    assert sorted(names) == ["bare.png", "good.png", "size.png"]
    told = {}
    for problem in annotations.problems:
        told.setdefault(problem.file.rpartition("/")[2], []).append(problem.what)
    expected = {
        "half.jpg": "damaged",
        "text.png": "damaged",
        "gone.xml": "missing",
        "broken.xml": "no well-formed XML",
        "empty.xml": "empty",
        "other.xml": "no <annotation>",
        "bare.xml": "no <bndbox>",
        "size.xml": "the picture is 40 x 30, not 4 x 3",
        "good.xml": "annotated twice",
    }
    for file, what in expected.items():
        assert any(what in each for each in told[file]), (file, told[file])
    assert "object 2: it has no name" in told["good.xml"]


def test_entities_are_refused():
    laughs = b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>&y;</a>'
    outside = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'
    for content in (laughs, outside):
        with pytest.raises(FormatError, match="entities"):
            parse_xml(content, "a.xml", [])
    with pytest.raises(FormatError, match="nested too deep"):
        parse_xml(b"<a>" * 100_000, "a.xml", [])
    with pytest.raises(FormatError, match="no well-formed"):
        parse_xml(b'<!DOCTYPE a SYSTEM "http://localhost/a"><a>&x;', "a.xml", [])


@pytest.mark.parametrize(
    ("declared", "used", "reported"),
    [
        ("", "utf-8", False),
        ('<?xml version="1.0" encoding="latin-1"?>', "latin-1", False),
        ('<?xml version="1.0" encoding="utf-8"?>', "latin-1", True),
        ('<?xml version="1.0" encoding="nonsense"?>', "utf-8", True),
        ("", "utf-8-sig", False),
        ("", "utf-16", False),
    ],
)
def test_text_in_a_wrong_encoding_is_read(declared, used, reported):
    problems = []
    tree = parse_xml((declared + "<a>Zähler</a>").encode(used), "a.xml", problems)
    assert tree.text == "Zähler"
    assert bool(problems) == reported


def test_splits_come_from_lists_folders_and_files(tmp_path):
    lists = write(
        tmp_path / "lists",
        JPEGImages__a_dot_png=picture(),
        JPEGImages__b_dot_png=picture(),
        Annotations__a_dot_xml=voc(("cat", (1, 2, 9, 9)), filename="a.png"),
        Annotations__b_dot_xml=voc(("cat", (1, 2, 9, 9)), filename="b.png"),
        ImageSets__Main__train_dot_txt="b\nzz\n",
        ImageSets__Main__trainval_dot_txt="a\r\nb\r\n",
        ImageSets__Main__cat_train_dot_txt="a -1\nb  1\n",
    )
    annotations = read_annotations(lists)
    assert annotations.splits == {"trainval": [0, 1], "train": [1]}
    assert [x.name for x in annotations.split("train").pictures] == ["JPEGImages/b.png"]
    assert "1 pictures have no annotation, 'zz' first" in annotations.problems[0].what
    with pytest.raises(ArgumentError, match="train, trainval"):
        annotations.split("val")

    folders = write(
        tmp_path / "folders",
        train__a_dot_png=picture(),
        train__a_dot_xml=voc(("cat", (1, 2, 9, 9))),
        valid__a_dot_png=picture(50, 20),
        valid__a_dot_xml=voc(("cat", (1, 2, 9, 9)), size=(50, 20)),
    )
    annotations = read_annotations(folders)
    assert annotations.problems == []
    assert annotations.split("valid").pictures[0].width == 50

    files = write(
        tmp_path / "files",
        train2017__a_dot_png=picture(),
        val2017__a_dot_png=picture(50, 20),
        annotations__instances_train2017_dot_json=coco([IMAGE], [box()]),
        annotations__instances_val2017_dot_json=coco([{**IMAGE, "width": 50}], []),
        annotations__captions_train2017_dot_json="{}",
    )
    annotations = read_annotations(files)
    assert annotations.split("train").pictures[0].name == "train2017/a.png"
    assert annotations.split("val").pictures[0].name == "val2017/a.png"
    only = read_annotations(files / "annotations" / "instances_val2017.json")
    assert [x.name for x in only.pictures] == ["val2017/a.png"]
    assert read_annotations(files, split="train").pictures[0].id == 7


def test_names_of_splits():
    assert split_name("annotations/instances_val2017.json") == "val"
    assert split_name("test/_annotations.coco.json") == "test"
    assert split_name("2017.json") == "2017"


def test_coco_is_read_and_its_faults_are_reported(tmp_path):
    rows = [
        box(),
        box(bbox=[30, 2, 20, 5], iscrowd=1, segmentation={"counts": [1], "size": [1]}),
        box(3, bbox=[9, 9, -4, 5]),
        box(4, bbox=[9, 9, 0, 5]),
        box(5, bbox=[9, 9, 1]),
        box(6, bbox=None),
        box(7, image_id=99),
        box(8, category_id=99),
        box(9, bbox=["9", 9, 2.5, True]),
        box(10, bbox=[9, 9, float("nan"), 1]),
        "nonsense",
    ]
    images = [IMAGE, IMAGE, {"id": 1, "file_name": "../../etc/passwd"}, {"id": 2}, 5]
    categories = [{"id": 3, "name": "cat"}, {"id": 3, "name": "dog"}, {"id": 4}]
    write(tmp_path, a_dot_png=picture(), x_dot_json=coco(images, rows, categories))
    annotations = read_annotations(tmp_path)
    assert annotations.class_names == ["cat"]
    assert list(annotations.category_ids) == [3]
    (found,) = annotations.pictures
    assert found.boxes.tolist() == [[1, 2, 11, 22], [30, 2, 40, 7], [5, 9, 9, 14]]
    assert found.crowd.tolist() == [False, True, False]
    said = "\n".join(map(str, annotations.problems))
    for part in (
        "image id 7 is there twice",
        "image 3 lacks",
        "image 4 lacks",
        "category id 3 is there twice",
        "category 2 lacks",
        "'../../etc/passwd' is missing",
        "annotation 1: the id is there twice",
        "annotation 1 (cat): it reaches outside",
        "annotation 3 (cat): its corners are swapped",
        "annotation 4 (cat): it has no area",
        "annotation 5: its bbox",
        "annotation 6: its bbox",
        "there is no image 99",
        "there is no category 99",
        "annotation 9: its bbox",
        "annotation 10 (cat): a coordinate is not",
        "annotation 10 is no object",
        "1 masks are coded in runs",
        "1 boxes are around crowds",
    ):
        assert part in said, part


def test_boxes_turn_with_a_picture_that_was_stored_on_its_side(tmp_path):
    for orientation, expected in {
        5: [2, 1, 12, 9],
        6: [18, 1, 28, 9],
        7: [18, 31, 28, 39],
        8: [2, 31, 12, 39],
    }.items():
        folder = write(
            tmp_path / str(orientation),
            a_dot_png=picture(orientation=orientation),
            a_dot_xml=voc(("cat", (1, 2, 9, 12))),
        )
        annotations = read_annotations(folder)
        (found,) = annotations.pictures
        assert (found.width, found.height) == (30, 40)
        assert found.boxes.tolist() == [expected]
        assert annotations.problems[0].done == "turned"


def test_the_turned_box_shows_what_the_stored_one_showed(tmp_path):
    from PIL import ImageOps  # noqa: PLC0415 - an optional package

    for orientation in (5, 6, 7, 8):
        content = picture(orientation=orientation)
        write(tmp_path, a_dot_png=content, a_dot_xml=voc(("cat", (1, 2, 9, 12))))
        stored = Image.open(io.BytesIO(content))
        left, top, right, bottom = (
            read_annotations(tmp_path).pictures[0].boxes[0].astype(int)
        )
        shown = np.asarray(ImageOps.exif_transpose(stored))[top:bottom, left:right]
        plain = np.asarray(stored)[2:12, 1:9]
        assert sorted(shown.reshape(-1, 3).tolist()) == sorted(
            plain.reshape(-1, 3).tolist()
        )


def test_difficult_objects_are_marked(tmp_path):
    content = voc(("cat", (1, 2, 9, 9)), extra="<difficult>1</difficult>")
    write(tmp_path, a_dot_png=picture(), a_dot_xml=content)
    annotations = read_annotations(tmp_path)
    assert annotations.pictures[0].difficult.tolist() == [True]
    assert annotations.problems[0].what == "1 objects are marked difficult"


def test_classes_can_be_given(tmp_path):
    content = voc(("cat", (1, 2, 9, 9)), ("dog", (1, 2, 5, 5)))
    write(tmp_path, a_dot_png=picture(), a_dot_xml=content)
    assert read_annotations(tmp_path).pictures[0].labels.tolist() == [0, 1]
    annotations = read_annotations(tmp_path, class_names=["eel", "dog"])
    assert annotations.pictures[0].labels.tolist() == [1]
    assert annotations.counts() == {"eel": 0, "dog": 1}
    assert "no class asked for" in annotations.problems[0].what


def zipped(path, **files):
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)


def test_zips_in_a_folder_are_folders_where_something_lacks_beside_them(tmp_path):
    one = {"a_dot_png": picture(), "a_dot_xml": voc(("cat", (1, 2, 9, 12)))}
    zipped(tmp_path / "whole" / "set.zip", **one)
    write(tmp_path / "whole", LICENSE="free")
    (found,) = read_annotations(tmp_path / "whole").pictures
    assert found.path == tmp_path / "whole" / "set.zip" / "a.png"
    assert found.read() == one["a_dot_png"]
    # pictures in a zip, annotations beside it
    zipped(tmp_path / "apart" / "train2017.zip", train2017__a_dot_png=picture())
    write(tmp_path / "apart", instances_train2017_dot_json=coco([IMAGE], [box()]))
    (found,) = read_annotations(tmp_path / "apart").pictures
    assert found.boxes.tolist() == [[1, 2, 11, 22]]
    # parts by the names of zips
    zipped(tmp_path / "parts" / "train.zip", **one)
    zipped(
        tmp_path / "parts" / "val.zip",
        b_dot_png=picture(),
        b_dot_xml=voc(("cat", (1, 2, 9, 12)), filename="b.png"),
    )
    assert read_annotations(tmp_path / "parts").splits == {"train": [0], "val": [1]}
    # a zip beside what was unpacked from it says nothing new
    zipped(tmp_path / "twice" / "set.zip", **one)
    write(tmp_path / "twice", **one)
    annotations = read_annotations(tmp_path / "twice")
    assert len(annotations) == 1
    assert not annotations.problems
    (tmp_path / "whole" / "set.zip").write_bytes(b"PK no zip")
    with pytest.raises(FormatError, match=r"set\.zip"):
        read_annotations(tmp_path / "whole")


def test_a_zip_is_read_in_place_and_cannot_lead_out(tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("set/a.png", picture())
        archive.writestr("set/a.xml", voc(("cat", (1, 2, 9, 9))))
        archive.writestr("../out.xml", voc(("dog", (1, 2, 9, 9))))
        archive.writestr("/abs.xml", voc(("dog", (1, 2, 9, 9))))
        archive.writestr("__MACOSX/set/._a.xml", b"\0")
        archive.writestr("set/bomb.xml", bytes(1 << 25))
    annotations = read_annotations(path)
    assert annotations.class_names == ["cat"]
    assert annotations.pictures[0].read() == picture()
    assert annotations.pictures[0].path == path / "set/a.png"
    assert [x.what[:24] for x in annotations.problems] == ["the file is too large (3"]

    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)  # inside the picture
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(path)
    path.write_bytes(content[:200])
    with pytest.raises(FormatError, match="zip"):
        read_annotations(path)


def test_what_is_no_data_set_is_refused_with_reasons(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_annotations(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no annotations"):
        read_annotations(write(tmp_path / "empty", a_dot_txt="x"))
    lonely = write(tmp_path / "lonely", a_dot_json=coco([IMAGE], [box()]))
    with pytest.raises(DataError, match=r"'a\.png' is missing"):
        read_annotations(lonely)


def test_links_in_a_circle_end(tmp_path):
    write(tmp_path, a__b_dot_txt="x")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    assert FolderPlace(tmp_path).names == ["a/b.txt"]


def test_coco_is_written_as_it_is_read(tmp_path):
    rows = [box(), box(2, bbox=[3, 4, 5, 6], iscrowd=1)]
    write(tmp_path, a_dot_png=picture(), x_dot_json=coco([IMAGE], rows))
    first = read_annotations(tmp_path)
    (tmp_path / "x.json").write_text(json.dumps(to_coco(first)))
    second = read_annotations(tmp_path)
    for name in ("boxes", "labels", "crowd", "id", "width"):
        before, after = (getattr(x.pictures[0], name) for x in (first, second))
        np.testing.assert_array_equal(before, after)
    assert to_coco(second) == to_coco(first)
    found = {"boxes": [[1, 2, 4, 6]], "scores": [0.5], "labels": [0]}
    assert to_coco_results(first, [found]) == [
        {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}
    ]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_never_crash(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    contents = {
        "a.png": picture(),
        "a.xml": voc(("cat", (1, 2, 9, 9))),
        "a.json": coco([IMAGE], [box()]).encode(),
    }
    chosen = data.draw(st.sampled_from(["a.xml", "a.json", "a.png"]))
    if chosen == "a.json":
        del contents["a.xml"]
    content = bytearray(contents[chosen])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(1, 9))] = data.draw(
            st.binary(max_size=9)
        )
        content = content or bytearray(b"x")
    contents[chosen] = bytes(content)
    for name, each in contents.items():
        (folder / name).write_bytes(each)
    try:
        annotations = read_annotations(folder)
    except ChainruleError:
        return
    for found in annotations.pictures:
        assert np.isfinite(found.boxes).all()
        assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
        assert len(found.labels) == len(found.boxes) == len(found.crowd)


@pytest.mark.skipif(SETTINGS.data is None, reason="CHAINRULE_DATA is not set")
def test_the_blood_cells_are_read_from_their_zip():
    path = SETTINGS.data / "bccd" / "bccd_trainval.zip"
    if not path.is_file():
        pytest.skip("no bccd in CHAINRULE_DATA")
    annotations = read_annotations(path, decode=False)
    assert annotations.counts() == {"Platelets": 292, "RBC": 3348, "WBC": 301}
    assert len(annotations.split("train")) == 205
    assert len(annotations.split("val")) == 87
    assert [x.what for x in annotations.problems] == [
        "object 13 (RBC): it has no area",
        "object 4 (RBC): it has no area",
    ]
    assert ZipPlace(path).names == sorted(ZipPlace(path).names)
