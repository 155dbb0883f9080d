"""Registry of classes by name, loaded on demand: decorator, entry point, or `file.py:Class`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from ..core.errors import RegistryError, first_line, near
from ..core.guests import guest
from ..core.sources import FROM_FILE, Unidentified, forget, look_at
from ..core.text import in_utf8

METRICS = "m2f2bench.metrics"
"""The entry-point group of metrics."""
T = TypeVar("T", bound=type)


class Registry:
    """The name table of one kind of class.

    Names come from the package itself (`builtin`: name → `module:Class`, imported when asked for), from installed
    packages' entry points (`group`), and from the decorator `register`. A name stands for one class only.
    """

    def __init__(self, kind: str, group: str, builtin: dict[str, str]) -> None:
        """Make an empty registry; `kind` is used in messages, `group` is the entry-point group."""
        self.kind, self.group, self.builtin = kind, group, builtin
        self._registered: dict[str, type] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a class decorator: `@register_backend("mine")`. Raises RegistryError for a second class of a name."""

        def decorate(cls: T) -> T:
            held = self._registered.get(name)
            # The same class again: its module was executed twice (a notebook cell, a reload); that is no collision.
            if held is not None and _origin(held) != _origin(cls):
                raise self._collision(name, _origin(held), _origin(cls))
            if name in self.builtin:
                raise self._collision(name, self.builtin[name], _origin(cls))
            self._registered[name] = cls
            return cls

        return decorate

    def names(self) -> list[str]:
        """Return all known names, sorted; nothing is imported."""
        return sorted({*self.builtin, *self._entry_points(), *self._registered})

    def origin(self, name: str) -> str:
        """Return the class of a name as `module:Class`. Raises RegistryError for an unknown or ambiguous name."""
        entries = self._entry_points().get(name, [])
        held = [self.builtin[name]] if name in self.builtin else []
        held += [f"{entry.value} (package {entry.dist.name})" if entry.dist else entry.value for entry in entries]
        if name in self._registered:
            own = _origin(self._registered[name])
            # A decorated class may also be an entry point of its package: the same class, registered twice.
            if own not in [entry.value for entry in entries]:
                held.append(own)
        if not held:
            raise RegistryError(f"unknown {self.kind} '{name}'{near(name, self.names())}")
        if len(set(held)) > 1:
            raise self._collision(name, held[0], held[1])
        return held[0]

    def get(self, name: str) -> type:
        """Import and return the class of a name. Raises RegistryError in one line."""
        origin = self.origin(name)
        if name in self._registered:
            return self._registered[name]
        target = origin.split(" ")[0]
        module, _, attribute = target.partition(":")
        try:
            with guest(f"{self.kind} '{name}'"):
                found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except Exception as error:
            raise RegistryError(f"{self.kind} '{name}' ({origin}) cannot be loaded: {first_line(error)}") from error
        if not isinstance(found, type):
            raise RegistryError(f"{self.kind} '{name}' ({origin}) is not a class but {type(found).__name__}")
        return found

    def _entry_points(self) -> dict[str, list[metadata.EntryPoint]]:
        found: dict[str, list[metadata.EntryPoint]] = {}
        for entry in entry_points(self.group):
            found.setdefault(entry.name, []).append(entry)
        return found

    def _collision(self, name: str, first: str, second: str) -> RegistryError:
        return RegistryError(
            f"{self.kind} name '{name}' is taken twice, by {first} and by {second}: rename one of them"
        )


def entry_points(group: str) -> tuple[metadata.EntryPoint, ...]:
    """Return the entry points of a group, each once; nothing is imported."""
    return all_entry_points().get(group, ())


@cache
def all_entry_points() -> dict[str, tuple[metadata.EntryPoint, ...]]:
    """Return the entry points of all installed packages by group: they are read once."""
    found = metadata.entry_points()
    # One distribution can be found twice on sys.path (editable and built); that is not a collision.
    return {
        group: tuple({(entry.name, entry.value): entry for entry in found.select(group=group)}.values())
        for group in found.groups
    }


def _origin(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def is_file_reference(reference: str) -> bool:
    """Return whether a name has the form `file.py:Class`."""
    path, _, attribute = reference.rpartition(":")
    return path.endswith(".py") and attribute.isidentifier()


class _AsItIsNow(importlib.machinery.SourceFileLoader):
    """Loader that always compiles the file. Python's `__pycache__` misses a change within one second that keeps the
    file's size, and it contains the folder's name."""

    def get_code(self, fullname: str) -> types.CodeType:
        """Compile the file."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


@contextmanager
def _without_bytecode() -> Iterator[None]:
    """Write no `__pycache__` for modules that are imported in the block."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def load_from_file(reference: str, kind: str) -> type:
    """Return the class of `file.py:Class`. Raises RegistryError in one line."""
    attribute = reference.rpartition(":")[2]
    module = module_from_file(reference, kind)
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        classes = [n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
        raise RegistryError(
            f"{kind} '{reference}': no class '{attribute}' in '{module.__file__}'{near(attribute, classes)}"
        )
    return found


def module_from_file(reference: str, kind: str) -> types.ModuleType:
    """Return the module of `file.py:NAME`; the file is executed once, and again after it was changed.

    Raises RegistryError in one line.
    """
    name = reference.rpartition(":")[0]
    path = Path(os.path.realpath(Path(name).expanduser()))  # not resolve(), which raises where links go in a circle
    if not path.is_file():
        raise RegistryError(f"{kind} '{reference}': there is no file '{path}'")
    # The module's name has a hash of the path, so that two files of the same name are two modules.
    module_name = f"{FROM_FILE}{in_utf8(path.stem)}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    module = sys.modules.get(module_name)
    if module is not None:
        try:
            look_at(path)
        except Unidentified:  # it was changed after it was executed
            module = None
    if module is None:
        forget(path)
        look_at(path)
        loader = _AsItIsNow(module_name, str(path))
        spec = importlib.util.spec_from_loader(module_name, loader)
        assert spec is not None  # None is for loaders that find nothing
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # before execution: dataclasses and pickle look their module up
        try:
            with _without_bytecode(), guest(f"'{path}'"):
                loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise RegistryError(f"{kind} '{reference}': executing '{path}' failed: {first_line(error)}") from error
    return module


def finding_here() -> Callable[[], None]:
    """Return a function that lets another process import modules of files that `module_from_file` has executed here.

    What is pickled here can then be read there. Nothing else is executed: another of these files may have been changed
    since, or may take a name that this process has let go.
    """
    modules = [(name, module) for name, module in list(sys.modules.items()) if name.startswith(FROM_FILE)]
    return partial(find_files, {name: str(module.__file__) for name, module in modules})


def find_files(paths: Mapping[str, str]) -> None:
    """Let modules of these names be imported, from files of these paths."""
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, _Files)]
    sys.meta_path.append(_Files(paths))


class _Files(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and executes modules of files."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        self.paths = paths

    def find_spec(self, fullname: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in self.paths else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return module_from_file(f"{self.paths[spec.name]}:", "file")

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: it was executed."""


BACKENDS = Registry(
    "backend",
    "m2f2bench.backends",
    {
        "capsule": "m2f2bench.detectors.cnn.capsule:CapsuleDetector",
        "cnn-aug": "m2f2bench.detectors.cnn.resnet:CnnAugDetector",
        "constant": "m2f2bench.detectors.controls:ConstantDetector",
        "efficientnet-b4": "m2f2bench.detectors.cnn.efficientnet:EfficientNetDetector",
        "f3net": "m2f2bench.detectors.cnn.f3net:F3NetDetector",
        "ffd": "m2f2bench.detectors.cnn.ffd:FfdDetector",
        "random": "m2f2bench.detectors.controls:RandomDetector",
        "forada": "m2f2bench.detectors.forada.detector:ForadaDetector",
        "frequency": "m2f2bench.detectors.frequency:FrequencyDetector",
        "lsda": "m2f2bench.detectors.cnn.lsda:LsdaDetector",
        "m2f2det": "m2f2bench.detectors.m2f2det.detector:M2F2Detector",
        "m2f2det-explainer": "m2f2bench.detectors.m2f2det.explainer:M2F2Explainer",
        "meso4": "m2f2bench.detectors.cnn.meso:Meso4Detector",
        "mesoinception4": "m2f2bench.detectors.cnn.meso:MesoInception4Detector",
        "hf-classifier": "m2f2bench.detectors.runtimes.hf_classifier:HuggingFaceClassifier",
        "onnx": "m2f2bench.detectors.runtimes.onnx:OnnxDetector",
        "openai": "m2f2bench.detectors.openai.detector:OpenAIEndpoint",
        "recce": "m2f2bench.detectors.cnn.recce:RecceDetector",
        "spsl": "m2f2bench.detectors.cnn.spsl:SpslDetector",
        "srm": "m2f2bench.detectors.cnn.srm:SrmDetector",
        "timm": "m2f2bench.detectors.timm:TimmDetector",
        "tuned": "m2f2bench.detectors.tuned.detector:TunedDetector",
        "ucf": "m2f2bench.detectors.cnn.ucf:UcfDetector",
        "torchscript": "m2f2bench.detectors.runtimes.torchscript:TorchScriptDetector",
        "vlm": "m2f2bench.detectors.vlm.detector:VisionLanguageModel",
        "xception": "m2f2bench.detectors.cnn.xception:XceptionDetector",
    },
)
ADAPTERS = Registry(
    "adapter",
    "m2f2bench.adapters",
    {
        "celebdf": "m2f2bench.datasets.layouts.celebdf:CelebDFAdapter",
        "conversations": "m2f2bench.datasets.layouts.conversations:ConversationsAdapter",
        "ddvqa": "m2f2bench.datasets.layouts.ddvqa:DDVQAAdapter",
        "deeperforensics": "m2f2bench.datasets.layouts.deeperforensics:DeeperForensicsAdapter",
        "deepfake-eval-2024": "m2f2bench.datasets.layouts.deepfake_eval:DeepfakeEvalAdapter",
        "deepfakebench": "m2f2bench.datasets.deepfakebench.adapter:DeepfakeBenchAdapter",
        "df40": "m2f2bench.datasets.deepfakebench.df40:DF40Adapter",
        "dfd": "m2f2bench.datasets.layouts.ffpp_videos:DFDAdapter",
        "dfdc": "m2f2bench.datasets.layouts.dfdc:DFDCAdapter",
        "dfdcp": "m2f2bench.datasets.layouts.dfdcp:DFDCPAdapter",
        "fakeavceleb": "m2f2bench.datasets.layouts.fakeavceleb:FakeAVCelebAdapter",
        "ffiw": "m2f2bench.datasets.layouts.ffiw:FFIWAdapter",
        "ffpp-videos": "m2f2bench.datasets.layouts.ffpp_videos:FFPPVideoAdapter",
        "folder": "m2f2bench.datasets.lists.folder:FolderAdapter",
        "hdf5": "m2f2bench.datasets.layouts.ffpp:FFPPAdapter",
        "huggingface": "m2f2bench.datasets.lists.huggingface:HuggingFaceAdapter",
        "image-tree": "m2f2bench.datasets.layouts.image_tree:ImageTreeAdapter",
        "kodf": "m2f2bench.datasets.layouts.kodf:KoDFAdapter",
        "lists": "m2f2bench.datasets.lists.text_lists:ListsAdapter",
        "prepared": "m2f2bench.datasets.layouts.prepared:PreparedAdapter",
        "synthetic": "m2f2bench.datasets.synthetic.adapter:SyntheticAdapter",
        "uadfv": "m2f2bench.datasets.layouts.uadfv:UADFVAdapter",
        "webdataset": "m2f2bench.datasets.lists.webdataset:WebDatasetAdapter",
        "wilddeepfake": "m2f2bench.datasets.layouts.wilddeepfake:WildDeepfakeAdapter",
    },
)
register_backend = BACKENDS.register
register_adapter = ADAPTERS.register
