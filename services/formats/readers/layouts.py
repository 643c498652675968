"""The formats of annotated data sets by name, and which of them a folder holds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.contracts.errors import InvalidRecord
from services.formats.items import Dataset
from services.formats.json_files import read_json
from services.formats.layout_names import LAYOUTS, LayoutName
from services.formats.readers.annotated_folder import AnnotationReader
from services.formats.readers.cvat import cvat_root, is_video, read_cvat
from services.formats.readers.cvat_video import read_cvat_video
from services.formats.readers.datumaro import read_datumaro
from services.formats.readers.folders import head_of, image_file, visible_files
from services.formats.readers.image_folder import listed
from services.formats.readers.image_names import IMAGE_ENDINGS
from services.formats.readers.kitti import is_kitti, read_kitti
from services.formats.readers.label_studio import read_label_studio
from services.formats.readers.labelme import is_labelme, read_labelme
from services.formats.readers.openimages import is_openimages, read_openimages
from services.formats.readers.returned import NamedFrames
from services.formats.readers.scalabel import is_scalabel, read_scalabel
from services.formats.readers.via3 import is_via3, read_via3
from services.formats.readers.yolo import label_files, names_file, read_yolo

_LOOKED_AT = 50
"""Files of one kind in a folder that are opened to detect their format: most are alike."""
_TRIED = 20
_FOLDERS = frozenset({LayoutName.VOC, LayoutName.KITTI})
"""Those that are read from a folder only."""


def _read_cvat(file: Path, sent: NamedFrames) -> Dataset:
    return read_cvat_video(file, sent) if is_video(cvat_root(file)) else read_cvat(file, sent)


READERS: Final[dict[LayoutName, AnnotationReader]] = {
    LayoutName.VIA_3: read_via3,
    LayoutName.YOLO: read_yolo,
    LayoutName.CVAT: _read_cvat,
    LayoutName.LABEL_STUDIO: read_label_studio,
    LayoutName.LABELME: read_labelme,
    LayoutName.KITTI: read_kitti,
    LayoutName.SCALABEL: read_scalabel,
    LayoutName.OPENIMAGES: read_openimages,
    LayoutName.DATUMARO: read_datumaro,
}
"""Those whose annotations are matched to the images of a folder by name."""


@dataclass(frozen=True)
class FoundLayout:
    """A format, and the files or folders that have annotations in it.

    Attributes
    ----------
    unread : files next to annotations in JSON that are no JSON, such as annotations that are cut
        off. Formats that are read from folders refuse them by name
    """

    name: LayoutName
    annotations: Sequence[Path]
    unread: Sequence[Path] = ()

    @property
    def only(self) -> Path:
        """The file, for formats that describe a whole data set in one.

        Raises
        ------
        InvalidRecord
            `unsupported_format`: there are several.
        """
        if len(self.annotations) > 1:
            names = ", ".join(path.name for path in self.annotations[:5])
            raise InvalidRecord(
                f"{len(self.annotations)} files are {LAYOUTS[self.name]} ({names}): name one with"
                " --annotations",
                reason="unsupported_format",
            )
        return self.annotations[0]


def found_layout(path: Path, name: LayoutName = LayoutName.AUTO) -> FoundLayout:
    """The annotations of a folder, or of one file, in this format, or in the only one.

    Raises
    ------
    InvalidRecord
        `unsupported_format`: there are none, or there are some in several formats.
    """
    if path.is_file() and name in _FOLDERS:
        detail = f"{path} is a file; {name} is {LAYOUTS[name]}: name their folder"
        raise InvalidRecord(detail, reason="unsupported_format")
    if path.is_file() and name is not LayoutName.AUTO:
        return FoundLayout(name, [path])  # its reader says why it is none
    invalid: list[Path] = []
    found = {
        layout: files
        for layout, files in _all_layouts(path, invalid).items()
        if files and name in {LayoutName.AUTO, layout}
    }
    if len(found) == 1:
        ((layout, files),) = found.items()
        annotations = [*files, *_not_looked_at(path, layout, invalid)]
        return FoundLayout(layout, annotations, _next_to(annotations, invalid))
    if found:
        named = "; ".join(f"{layout} ({files[0].name})" for layout, files in found.items())
        detail = f"{path} holds annotations in several formats: {named}. Name one with --format"
    elif name is LayoutName.AUTO:
        detail = f"{path} holds no annotations in a known format: {', '.join(LAYOUTS)}"
    else:
        detail = f"{path} holds no annotations in the format {name}: {LAYOUTS[name]}"
    raise InvalidRecord(detail, reason="unsupported_format")


def images_root(folder: Path, names: Iterable[str]) -> Path:
    """The folder that the names of images are relative to, in which most of the first exist."""
    tried = [name for name, _ in zip(names, range(_TRIED), strict=False)]
    with_images = {(folder / file).parent for file in listed(folder)}
    return max(
        (folder, *sorted(with_images)),
        key=lambda root: sum(_has_image(root, name) for name in tried),
    )


def _has_image(root: Path, name: str) -> bool:
    for ending in ("", *IMAGE_ENDINGS):
        try:
            image_file(root, name + ending)
        except InvalidRecord:
            continue
        return True
    return False


def _all_layouts(path: Path, invalid: list[Path]) -> dict[LayoutName, list[Path]]:
    """The first files of each folder by format; those that are no JSON are added to `invalid`."""
    documents = _documents(_files(path, ".json"), invalid)
    xml = _files(path, ".xml")
    voc = [file for file in xml if _root_tag(file) == "annotation"]
    yolo = [folder for folder in _with_names(path) if label_files(folder)]
    text = [file for file in _files(path, ".txt") if not any(map(file.is_relative_to, yolo))]
    return {
        **documents,
        LayoutName.LABELME: _folders(documents[LayoutName.LABELME], path),
        LayoutName.VOC: _folders(voc, path),
        LayoutName.CVAT: [file for file in xml if _is_cvat(file)],
        LayoutName.YOLO: yolo,
        LayoutName.KITTI: _folders([file for file in text if is_kitti(file)], path),
        LayoutName.OPENIMAGES: [file for file in _files(path, ".csv") if is_openimages(file)],
    }


def _documents(files: Iterable[Path], invalid: list[Path]) -> dict[LayoutName, list[Path]]:
    """JSON files by the formats that they fit; those that are no JSON are added to `invalid`."""
    found: dict[LayoutName, list[Path]] = {layout: [] for layout in _DOCUMENTS}
    for file in files:
        content = _content(file)
        if content is None:
            invalid.append(file)
        for layout, fits in _DOCUMENTS.items():
            if fits(content):
                found[layout].append(file)
    return found


def _files(path: Path, ending: str) -> list[Path]:
    """The file, or the first files with this ending of each folder."""
    if path.is_file():
        return [path] if path.suffix.lower() == ending else []
    return _first_of_folders(visible_files(path, [ending]))


def _first_of_folders(files: Iterable[Path]) -> list[Path]:
    folders: dict[Path, list[Path]] = defaultdict(list)
    for file in files:
        folders[file.parent].append(file)
    return [file for of_folder in folders.values() for file in of_folder[:_LOOKED_AT]]


def _not_looked_at(path: Path, layout: LayoutName, invalid: list[Path]) -> list[Path]:
    """The files of this format beyond the first of each folder; empty if folders are read.

    Those that are no JSON are added to `invalid`.
    """
    if path.is_file() or layout not in _SINGLE_FILES:
        return []
    files = visible_files(path, [_SINGLE_FILES[layout]])
    looked_at = set(_first_of_folders(files))
    others = [file for file in files if file not in looked_at]
    match layout:
        case LayoutName.CVAT:
            return [file for file in others if _is_cvat(file)]
        case LayoutName.OPENIMAGES:
            return [file for file in others if is_openimages(file)]
    return _documents(others, invalid)[layout]


def _next_to(annotations: Iterable[Path], files: Iterable[Path]) -> list[Path]:
    """The files in the folders of annotations in JSON."""
    folders = {
        file.parent for file in annotations if file.suffix.lower() == ".json" and file.is_file()
    }
    return [file for file in files if file.parent in folders]


def _folders(files: Sequence[Path], path: Path) -> list[Path]:
    """The one folder that these files are in, or else the folder above all of theirs."""
    parents = {file.parent for file in files}
    if path.is_file() or not parents:
        return list(files)
    return [parents.pop() if len(parents) == 1 else path]


def _with_names(path: Path) -> list[Path]:
    """The folders that hold the names of YOLO's classes."""
    files = (file for ending in (".yaml", ".names", ".txt") for file in _files(path, ending))
    return [folder for folder in dict.fromkeys(file.parent for file in files) if names_file(folder)]


def _content(file: Path) -> object:
    try:
        return read_json(file)
    except InvalidRecord:  # reported by the reader of its folder, or as `unread`
        return None


def _root_tag(file: Path) -> str:
    """The name of an XML file's first element; empty without any."""
    for part in head_of(file).split("<")[1:]:
        if part[:1].isalpha():
            return part.split(">")[0].split()[0].rstrip("/")
    return ""


def _is_cvat(file: Path) -> bool:
    return _root_tag(file) == "annotations"


def _is_coco(content: object) -> bool:
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys()


def _is_via(content: object) -> bool:
    if not isinstance(content, dict):
        return False
    images = content.get("_via_img_metadata", content)
    first = next(iter(images.values()), None) if isinstance(images, dict) else None
    return isinstance(first, dict) and {"filename", "regions"} <= first.keys()


def _is_label_studio(content: object) -> bool:
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and "data" in first and "annotations" in first


def _is_datumaro(content: object) -> bool:
    return isinstance(content, dict) and {"categories", "items"} <= content.keys()


_DOCUMENTS: Final[dict[LayoutName, Callable[[object], bool]]] = {
    LayoutName.COCO: _is_coco,
    LayoutName.VIA: _is_via,
    LayoutName.VIA_3: is_via3,
    LayoutName.LABEL_STUDIO: _is_label_studio,
    LayoutName.LABELME: is_labelme,
    LayoutName.SCALABEL: is_scalabel,
    LayoutName.DATUMARO: _is_datumaro,
}
"""JSON files, by what they hold."""

_SINGLE_FILES: Final[dict[LayoutName, str]] = {
    **{layout: ".json" for layout in _DOCUMENTS if layout is not LayoutName.LABELME},
    LayoutName.CVAT: ".xml",
    LayoutName.OPENIMAGES: ".csv",
}
"""The formats of which each file is read by itself, with the ending of their files."""
