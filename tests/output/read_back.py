"""Reads a file that format_test.cc wrote, as a user would, and checks every type, shape and value."""
import sys

import h5py
import numpy as np

file = h5py.File(sys.argv[1], "r")
complete = int(sys.argv[2])

types = {
    "documents/id": ("S18", (4,)), "documents/tokens": ("<i8", (4,)), "documents/bytes": ("<i8", (4,)),
    "documents/status": ("u1", (4,)), "documents/error": ("S160", (4,)), "embeddings": ("<f2", (4, 3)),
    "windows/embedding": ("<f2", (2, 3)), "windows/document": ("<i8", (2,)),
    "windows/first_token": ("<i8", (2,)), "windows/tokens": ("<i8", (2,)),
    "scores/offset": ("<i8", (5,)), "scores/logprob": ("<f4", (9,)),
    "summaries/text": ("S16", (4,)), "summaries/tokens": ("<i4", (4, 4)),
    "summaries/length": ("<i4", (4,)), "summaries/stop_reason": ("u1", (4,)),
    "sections/document": ("<i8", (3,)), "sections/first_token": ("<i8", (3,)), "sections/tokens": ("<i8", (3,)),
    "sections/text": ("S12", (3,)), "sections/generated": ("<i4", (3, 2)),
    "sections/length": ("<i4", (3,)), "sections/stop_reason": ("u1", (3,)),
    "answers/document": ("<i8", (2,)), "answers/question": ("<i8", (2,)),
    "answers/text": ("S8", (2,)), "answers/generated": ("<i4", (2, 3)),
    "answers/length": ("<i4", (2,)), "answers/stop_reason": ("u1", (2,)), "questions/text": ("S5", (2,)),
    "passages/document": ("<i8", (2,)), "passages/first_token": ("<i8", (2,)), "passages/tokens": ("<i8", (2,)),
    "passages/first_byte": ("<i8", (2,)), "passages/bytes": ("<i8", (2,)), "passages/text": ("S9", (2,)),
    "states/wkv": ("<f4", (4, 1, 2, 2, 2)), "states/shift": ("<f4", (4, 2, 2, 4)),
}
found = []
file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
assert sorted(found) == sorted(types), found
for name, (dtype, shape) in types.items():
    dataset = file[name]
    assert dataset.dtype == np.dtype(dtype) and dataset.shape == shape, (name, dataset.dtype, dataset.shape)
    assert dataset.chunks is None and dataset.compression is None and dataset.maxshape == shape, name
    if dtype.startswith("S"):
        info = h5py.check_string_dtype(dataset.dtype)
        assert info.encoding == "utf-8" and info.length == dataset.dtype.itemsize, (name, info)

assert list(file["documents/id"].asstr()[:]) == ["plain", "Füße/日本.txt", "", "\U0001F30A"]
assert list(file["documents/tokens"]) == [3, 0, 5, 1]
assert list(file["documents/bytes"]) == [10, 0, 21, 4]
assert list(file["documents/status"]) == [1, 2, 1, complete], list(file["documents/status"])
assert list(file["documents/error"].asstr()[:]) == ["", "kein Text: Füße", "", ""]
assert list(file["scores/offset"]) == [0, 3, 3, 8, 9]
assert list(file["windows/first_token"]) == [0, 2]
for document in (0, 2):
    expected = np.array([document + 1 / 3, -1 / 3, 65504], np.float32).astype(np.float16)  # to even as well
    assert (file["embeddings"][document] == expected).all(), file["embeddings"][document]
    begin, end = file["scores/offset"][document:document + 2]
    assert (file["scores/logprob"][begin:end] == -np.arange(end - begin, dtype=np.float32) - document).all()
wkv = file["states/wkv"][2, 0]
assert (wkv == np.arange(8, dtype=np.float32).reshape(2, 2, 2)).all()  # [head][value][key]
assert (file["states/shift"][2, 1] == np.arange(8, dtype=np.float32).reshape(2, 4)).all()
assert file["summaries/text"].asstr()[0] == "kürzer"
assert list(file["summaries/tokens"][0]) == [5, 6, -1, -1]
assert list(file["summaries/length"]) == [2, 0, 0, 0] and list(file["summaries/stop_reason"]) == [2, 0, 0, 0]
assert list(file["sections/document"]) == [0, 2, 2] and list(file["sections/first_token"]) == [0, 0, 4]
assert list(file["sections/tokens"]) == [3, 4, 1]
assert list(file["sections/text"].asstr()[:]) == ["", "twelve bytes", ""]
assert file["sections/generated"][1].tolist() == [7, 8]
assert list(file["sections/length"]) == [0, 2, 0] and list(file["sections/stop_reason"]) == [0, 3, 0]
assert list(file["answers/document"]) == [2, 0] and list(file["answers/question"]) == [1, 0]
assert list(file["questions/text"].asstr()[:]) == ["Who?", "Où?"]
assert list(file["answers/text"].asstr()[:]) == ["", "oui"] and file["answers/generated"][1].tolist() == [-1] * 3
assert list(file["answers/length"]) == [0, 0] and list(file["answers/stop_reason"]) == [0, 1]
assert list(file["passages/document"]) == [0, 2] and list(file["passages/first_token"]) == [0, 2]
assert list(file["passages/text"].asstr()[:]) == ["", "nine bits"] and list(file["passages/bytes"]) == [0, 9]

attributes = file.attrs
assert attributes["schema"] == 1 and attributes["complete"] == complete
assert attributes["layers"] == 2 and attributes["temperature"] == 0.1
assert attributes["job"].decode() == "embed" and attributes["model_path"].decode() == "/models/Füße.pth"
assert attributes["empty"] == b""
print("good")
