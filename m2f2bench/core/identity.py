"""Identity of a user's object: a hash that changes whenever its code or its state changes.

Hashed are the source files of its class (see `sources`), its attributes however deep, the values of torch parameters
and arrays on it, and the content of every file that an attribute, an option or the source names.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .files import sha256
from .memo import Memo, cache_folder, file_stamp
from .sources import (
    Closure,
    Unidentified,
    class_name,
    closure,
    installed,
    is_typed,
    modules_of,
    named_files,
    user_classes,
)

UNKNOWN = "unknown"
"""In the place of a hash where nothing identifies an object."""
_ATOMS = (type(None), bool, int, float, complex, bytes, type(Ellipsis), type(NotImplemented), range, slice)
_PICKLING = ("__reduce_ex__", "__reduce__", "__getstate__")
_WITHOUT_STATE = frozenset({"lock", "RLock", "_local", "local"})
"""Types whose state decides no score."""


def identify(cls: type, *state: Any, folders: Iterable[Path] = ()) -> str:
    """Return 16 hex digits over the code of a class and over `state`, objects of any kind.

    Texts that name a file (relative to `folders`, the current folder, or that of the source) are hashed with the file's
    content. Raises Unidentified for a part that cannot be identified, such as an open session.
    """
    found = closure(user_classes(cls))
    places = (*folders, *(path.parent for path, _ in found.sources), Path.cwd())
    code = code_digest(cls, found)
    walker = _Walker(tuple(dict.fromkeys(places)), {cls: code})
    digest = hashlib.blake2b(code, digest_size=8)
    for part in state:
        digest.update(walker.digest(part, cls.__name__))
    return digest.hexdigest()


def identify_call(functions: Iterable[Any], *state: Any) -> str:
    """Return 16 hex digits over the code of functions (or callable objects) and over `state`.

    Of a function from a file that is its source files, what they name, and what it holds from outside (arguments of a
    `functools.partial` and the object of a method too); of one that was typed into a session its compiled code. Raises
    Unidentified.
    """
    digest = hashlib.blake2b(digest_size=8)
    walker = _Walker((Path.cwd(),))
    for one in functions:
        bound: list[Any] = []
        while isinstance(one, functools.partial):
            bound, one = [*bound, one.args, one.keywords], one.func
        if isinstance(one, types.MethodType):
            bound.append(one.__self__)
        owner: Any = one if hasattr(one, "__qualname__") else type(one)
        found = closure((owner,))
        digest.update("\0".join([class_name(owner), *(found.packages or installed(owner))]).encode())
        for _, content in found.sources:
            digest.update(content)
        for path in found.named:
            digest.update(file_digest(path).encode())
        held = [_held(cell) for cell in getattr(one, "__closure__", None) or ()]
        defaults = (getattr(one, "__defaults__", None), getattr(one, "__kwdefaults__", None))
        loose = one if owner is not one or not (found.sources or installed(owner)) else None
        digest.update(walker.digest([held, defaults, loose, bound], class_name(owner)))
    digest.update(walker.digest(list(state), "fields"))
    return digest.hexdigest()


def code_digest(cls: type, found: Closure | None = None) -> bytes:
    """Return a digest of the user code that a class depends on; of name and version for an installed class.

    The weights that its modules hold as global values or class attributes are part of it. `found` is the closure of its
    user classes, where that is known. Raises Unidentified.
    """
    classes = user_classes(cls)
    found = found or closure(classes)
    digest = hashlib.blake2b(class_name(cls).encode(), digest_size=16)
    for _, content in found.sources:  # in the order of their paths; the names of folders are no part of it
        digest.update(content)
    for path in found.named:
        digest.update(file_digest(path).encode())
    digest.update("\0".join(found.packages or installed(cls)).encode())
    walker = _Walker(())
    for name, module in modules_of([path for path, _ in found.sources]):
        digest.update(_weights_in(vars(module), name, walker))
    for one in classes:
        digest.update(_weights_in(vars(one), one.__name__, walker))
        if is_typed(one):  # its functions are its source
            functions = {key: value for key, value in vars(one).items() if isinstance(value, types.FunctionType)}
            digest.update(walker.digest(functions, one.__name__))
    return digest.digest()


def _weights_in(names: Mapping[str, Any], where: str, walker: _Walker) -> bytes:
    held = {key: value for key, value in names.items() if is_weights(value)}
    return walker.digest(held, where) if held else b""


def file_digest(path: Path) -> str:
    """Return the hash of a file's content, 64 hex digits; a file with the same stamp is not read again."""
    with Memo(cache_folder() / "digests" / "files.jsonl") as memo:
        key, stamp = str(path), file_stamp(path)
        known = memo.get(key, stamp) if stamp else None
        if isinstance(known, str):
            return known
        try:
            found = sha256(path)
        except OSError as error:
            raise Unidentified(f"'{path}' cannot be read: {error.strerror}") from None
        if stamp and stamp == file_stamp(path):
            memo.put(key, stamp, found)
        return found


def is_weights(value: Any) -> bool:
    """Return whether a value is a torch module or tensor, or a numpy array."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    kinds = [getattr(torch, "Tensor", None), getattr(getattr(torch, "nn", None), "Module", None)]
    kinds += [getattr(numpy, "ndarray", None)]
    return isinstance(value, tuple(kind for kind in kinds if isinstance(kind, type)))


class _Walker:
    """Digests of values by what they hold; equal for equal values, in any process."""

    def __init__(self, folders: tuple[Path, ...], codes: Mapping[type, bytes] | None = None) -> None:
        self.folders = folders
        self._codes = dict(codes or {})  # digests of the code of classes
        self._known: dict[int, bytes] = {}
        self._kept: list[Any] = []  # ids stay taken while their objects live
        self._open: set[int] = set()

    def digest(self, value: Any, where: str) -> bytes:
        """Return 16 bytes. Raises Unidentified, with the attribute's name, for a value that cannot be identified."""
        if isinstance(value, _ATOMS):
            return _hash(type(value).__name__, repr(value).encode())
        if isinstance(value, (str, Path)):
            text = str(value)
            files = [file_digest(path).encode() for path in named_files(text, self.folders)]
            # A path is what lies there: the same file under another name is the same weights.
            return _hash("file", *files) if files else _hash("text", text.encode("utf-8", "surrogatepass"))
        key = id(value)
        if key in self._known:
            return self._known[key]
        if key in self._open:
            return _hash("above", type(value).__name__.encode())
        self._open.add(key)
        try:
            found = self._compound(value, where)
        except RecursionError:
            raise Unidentified(f"{where} is nested too deep") from None
        finally:
            self._open.discard(key)
        self._known[key] = found
        self._kept.append(value)
        return found

    def _compound(self, value: Any, where: str) -> bytes:
        kind = type(value)
        if isinstance(value, Mapping) and kind.__module__ in ("builtins", "collections", "types"):
            pairs = [(self.digest(k, where), self.digest(v, f"{where}.{k}")) for k, v in value.items()]
            return _hash("mapping", *(part for pair in sorted(pairs) for part in pair))
        if kind in (list, tuple):
            return _hash(kind.__name__, *(self.digest(one, f"{where}[{i}]") for i, one in enumerate(value)))
        if kind in (set, frozenset):
            return _hash(kind.__name__, *sorted(self.digest(one, where) for one in value))
        if kind is bytearray:
            return _hash("bytearray", bytes(value))
        special = self._numbers(value, where) or self._torch(value, where) or self._code(value, where)
        return special or self._object(value, where)

    def _numbers(self, value: Any, where: str) -> bytes:
        numpy = sys.modules.get("numpy")
        if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
            return b""
        array = numpy.asarray(value)
        if array.dtype.hasobject:
            return _hash("objects", repr(array.shape).encode(), self.digest(array.ravel().tolist(), where))
        return _hash("array", f"{array.dtype.str}{array.shape}".encode(), numpy.ascontiguousarray(array).tobytes())

    def _torch(self, value: Any, where: str) -> bytes:
        torch = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "nn"):
            return b""
        if isinstance(value, torch.Tensor):
            if value.is_sparse or value.is_quantized or value.device.type == "meta":
                raise Unidentified(f"{where} is a tensor without plain values")
            plain = value.detach().cpu().contiguous()
            content = plain.reshape(-1).view(torch.uint8).numpy() if plain.numel() else b""
            return _hash("tensor", f"{plain.dtype}{tuple(plain.shape)}".encode(), content)
        if isinstance(value, torch.Generator):
            return _hash("generator", value.get_state().numpy())
        if isinstance(value, torch.jit.ScriptModule):
            graph = str(value.inlined_graph).encode()
            return _hash("script", graph, self.digest(dict(value.state_dict()), where))
        if isinstance(value, torch.nn.Module):
            parts = [self._module(name, one, f"{where}.{name}") for name, one in value.named_modules()]
            return _hash("module", *parts, self.digest(dict(value.state_dict(keep_vars=True)), where))
        return b""

    def _module(self, name: str, module: Any, where: str) -> bytes:
        """Hash one torch module's class and plain settings, without its training or eval mode."""
        plain = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
        return _hash("layer", name.encode(), self.digest(type(module), where), self.digest(plain, where))

    def _code(self, value: Any, where: str) -> bytes:
        """Hash a function, class or module; empty for anything else."""
        if isinstance(value, type):
            if value not in self._codes:
                self._codes[value] = code_digest(value) if user_classes(value) else b""
            return _hash("class", class_name(value).encode(), self._codes[value])
        if isinstance(value, types.ModuleType):
            return _hash("module", value.__name__.encode())
        if isinstance(value, types.CodeType):
            constants = [one for one in value.co_consts if not isinstance(one, str) or len(one) < 1000]
            names = repr((value.co_names, value.co_varnames, value.co_freevars)).encode()
            return _hash("code", value.co_code, names, self.digest(constants, where))
        if isinstance(value, types.FunctionType):
            cells = [_held(cell) for cell in value.__closure__ or ()]
            made_of = (value.__code__, value.__defaults__, value.__kwdefaults__, cells)
            return _hash("function", value.__qualname__.encode(), self.digest(made_of, where))
        if isinstance(value, (types.MethodType, types.BuiltinMethodType)):
            bound = None if isinstance(value.__self__, types.ModuleType) else value.__self__
            inner = getattr(value, "__func__", None)
            parts = (self.digest(bound, where), self.digest(inner, where))
            return _hash("method", value.__qualname__.encode(), *parts)
        return b""

    def _object(self, value: Any, where: str) -> bytes:
        """Hash any other object by what pickle would keep of it; a plain object by its attributes."""
        cls = type(value)
        if cls.__name__ in _WITHOUT_STATE and cls.__module__ in ("_thread", "threading"):
            return _hash("lock")
        name = self.digest(cls, where)
        own = any(getattr(cls, name, None) is not getattr(object, name, None) for name in _PICKLING)
        if not own and hasattr(value, "__dict__") and not hasattr(cls, "__slots__"):
            # Without pickle: an attribute that cannot be pickled is named by its own name.
            bases = [self.digest(base(value), where) for base in (list, dict, set) if isinstance(value, base)]
            pairs = [(k, self.digest(v, f"{where}.{k}")) for k, v in vars(value).items()]
            return _hash("object", name, *bases, *(part for k, v in sorted(pairs) for part in (k.encode(), v)))
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:
            raise Unidentified(
                f"{where} is a {cls.__module__}.{cls.__qualname__}, which has no state to read"
            ) from error
        if isinstance(reduced, str):
            return _hash("global", name, reduced.encode())
        made, arguments, *rest = reduced
        parts = [self.digest(made, where), self.digest(arguments, where)]
        parts += [self.digest(one if i == 0 else list(one), where) for i, one in enumerate(rest[:3]) if one is not None]
        return _hash("object", name, *parts)


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _hash(kind: str, *parts: Any) -> bytes:
    digest = hashlib.blake2b(kind.encode(), digest_size=16)
    for part in parts:
        size = getattr(part, "nbytes", None)
        digest.update((len(part) if size is None else size).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
