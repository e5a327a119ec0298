"""What of a MONAI Bundle from elsewhere, such as one of MONAI's model zoo, can be trained further here.

Such a bundle is a program: its configuration holds `$` expressions, which are code, and names classes to import. None
of it is run. What training here needs is read as data and written anew as a package of ours: the network, what happens
to an image before it, and the weights. What that can't be done for is refused by name, and what isn't needed is named.

Layout: MONAI Bundle specification, https://docs.monai.io/en/stable/mb_specification.html.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wardround.foundation.files import write_whole
from wardround.learning.arrays import to_bytes
from wardround.learning.bundle import TARGETS, WEIGHTS, BundleRefused, bundle_digest, files_of, read_bundle

_NETS = "monai.networks.nets."
_READING = frozenset({"LoadImaged", "EnsureChannelFirstd", "EnsureTyped", "ToTensord", "CastToTyped"})
_NOT_NEEDED = frozenset({"CropForegroundd", "SpatialPadd", "DeleteItemsd"})
_DEEPEST = 3
_READ = frozenset({"network_def", "preprocessing", "preprocessing_transforms", "inferer"})
_OUTLINES = "Outlines what the bundle that it was made of does, trained further from its weights."
_KEPT = (
    "version", "changelog", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors",
    "copyright", "network_data_format", "intended_use", "references",
)  # fmt: skip
_SETTING = {"rounds": 20, "local_steps": 30, "batch_size": 2, "final_learning_rate": 1e-6, "tumour_share": 0.5}


@dataclass(frozen=True)
class Part:
    """A part of a bundle. `verdict`: `used`, `not needed`, or `refused`, which the whole then is."""

    name: str
    verdict: str
    why: str

    def in_words(self) -> str:
        return f"{self.name}: {self.verdict}{f', {self.why}' if self.why else ''}"


@dataclass(frozen=True)
class Adoption:
    """What a bundle comes to here. `documents`: the configuration to write, by file; none where a part is refused."""

    name: str
    parts: tuple[Part, ...]
    documents: Mapping[str, Mapping[str, Any]]

    @property
    def refused(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.verdict == "refused")


def examined(source: Path) -> Adoption:
    """Look at every part of a bundle, without its weights.

    Raises:
        BundleRefused: `incomplete` or `unreadable`: there is no bundle to look at.
    """
    metadata, inference = _document(source, "metadata"), _document(source, "inference")
    seen = _Examination(source, metadata, inference)
    network, preparation = seen.network(), seen.preparation()
    seen.rest()
    name = re.sub(r"[^a-z0-9]+", "-", source.resolve().name.lower()).strip("-")[:60]
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,60}", name):
        name = "adopted-bundle"
    told = {key: metadata[key] for key in _KEPT if key in metadata}
    told |= {"name": name, "adopted_from": bundle_digest(source), "required_packages_version": {"safetensors": "0.8.0"}}
    documents: dict[str, Mapping[str, Any]] = {}
    if all(part.verdict != "refused" for part in seen.parts):
        documents = {
            "metadata.json": {"description": _OUTLINES, "authors": "", "copyright": "", "changelog": {}, **told},
            "inference.json": {"network_def": network, "preparation": preparation},
            "evaluate.json": {"metric": {"name": "dice"}},
            "train.json": {"settings": {"default": {**_SETTING, "learning_rate": _rate(_document(source, "train"))}}},
        }
    return Adoption(name, tuple(seen.parts), documents)


def adopt(source: Path, target: Path) -> Adoption:
    """Write a package of ours that begins with the bundle's network and weights. Imports torch.

    Raises:
        BundleRefused: `code`, `unknown-target`, `unknown-transform` and the like: a part is refused, by name;
            `wrong-weights`, the weights can't be read without running code, or aren't the network's.
    """
    found = examined(source)
    if found.refused:
        part = found.refused[0]
        raise BundleRefused("not-adoptable", f"{part.in_words()}; `wardround package check {source}` lists every part")
    for name, document in found.documents.items():
        write_whole(target / "configs" / name, (json.dumps(document, indent=2) + "\n").encode(), mode=0o644)
    for path in files_of(source):
        if path.parts[0] == "docs" or path.name.upper().startswith("LICENSE"):
            write_whole(target / path, (source / path).read_bytes(), mode=0o644)
    bundle = read_bundle(target)
    from wardround.learning.foreign_weights import read_foreign

    write_whole(target / WEIGHTS, to_bytes(read_foreign(source / "models", bundle.network)), mode=0o644)
    return found


class _Examination:
    def __init__(self, source: Path, metadata: Mapping[str, Any], inference: Mapping[str, Any]) -> None:
        self._source = source
        self._metadata = metadata
        self._inference = inference
        self.parts: list[Part] = []

    def network(self) -> dict[str, Any]:
        found = self._inference.get("network_def")
        if not isinstance(found, Mapping) or not isinstance(found.get("_target_"), str):
            self._refuse("network_def", "inference names no network as `network_def` with a `_target_`")
            return {}
        target = found["_target_"]
        full = target if target in TARGETS else f"{_NETS}{target.rpartition('.')[2]}"
        if full not in TARGETS or not (target in TARGETS or "." not in target or target.startswith(_NETS)):
            self._refuse(
                "network_def", f"the network {target!r} isn't one that is built here ({', '.join(sorted(TARGETS))})"
            )
        arguments = {key: self._plain(f"network_def.{key}", value) for key, value in found.items() if key[0] != "_"}
        data = self._metadata.get("network_data_format")
        inputs, outputs = _told(data, "inputs", "image", "num_channels"), _told(data, "outputs", "pred", "num_channels")
        if inputs != 1:
            self._refuse("metadata.network_data_format", f"{inputs} input channels; one image enters a network here")
        if outputs not in (1, 2):
            self._refuse("metadata.network_data_format", f"{outputs} output channels; one structure is outlined here")
        self._note("network_def", "used", full.rpartition(".")[2])
        return {"_target_": full, **arguments}

    def preparation(self) -> dict[str, Any]:
        made: dict[str, Any] = {"kind": "volume"}
        for transform in self._transforms():
            name = str(transform.get("_target_", "")).rpartition(".")[2]
            where = f"preprocessing.{name}"
            plain = {key: self._plain(f"{where}.{key}", value) for key, value in transform.items() if key[0] != "_"}
            if name in _READING:
                self._note(where, "not needed", "a case is read and typed by this program")
            elif name in _NOT_NEEDED:
                self._note(where, "not needed", "a whole volume is gone over in patches")
            elif name == "Orientationd" and isinstance(plain.get("axcodes"), str):
                made["axes"] = plain["axcodes"]
                self._note(where, "used", str(plain["axcodes"]))
            elif name == "Spacingd":
                made["spacing"] = plain.get("pixdim")
                self._note(where, "used", f"{plain.get('pixdim')} mm")
            elif name == "ScaleIntensityRanged" and (plain.get("b_min"), plain.get("b_max")) == (0, 1):
                made["brightness"] = {"low": plain.get("a_min"), "high": plain.get("a_max")}
                self._note(where, "used", "")
            elif name == "NormalizeIntensityd" and not plain.get("subtrahend") and not plain.get("divisor"):
                made["brightness"] = {"nonzero": bool(plain.get("nonzero", False))}
                self._note(where, "used", "")
            else:
                self._refuse(where, "no such step, or none with these values, is known here; weights rest on each")
        if "axes" not in made:
            self._refuse("preprocessing.Orientationd", "without it nobody knows which way an image enters the network")
        made["patch"] = self._patch()
        return made

    def rest(self) -> None:
        """What isn't read: named, so that nobody thinks that it works here."""
        for key in sorted(self._inference.keys() - _READ):
            self._note(f"inference.{key}", "not needed", "")
        for path in sorted(files_of(self._source)):
            if path.suffix == ".py":
                self._note(path.as_posix(), "not needed", "Python of the bundle's own is never run here")

    def _transforms(self) -> Iterator[Mapping[str, Any]]:
        found = self._inference.get("preprocessing_transforms")
        if found is None:
            composed = self._inference.get("preprocessing")
            found = composed.get("transforms") if isinstance(composed, Mapping) else composed
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            self._refuse("preprocessing", "its transforms aren't a list of objects; an expression there is code")
            return
        yield from found

    def _patch(self) -> Any:
        inferer = self._inference.get("inferer")
        given = inferer.get("roi_size") if isinstance(inferer, Mapping) else None
        if given is None:
            given = _told(self._metadata.get("network_data_format"), "inputs", "image", "spatial_shape")
        patch = self._plain("inferer.roi_size", given)
        if not isinstance(patch, list) or len(patch) != 3 or not all(isinstance(n, int) for n in patch):
            self._refuse("inferer.roi_size", "not three whole numbers: a network here takes patches of a volume")
        else:
            self._note("inferer.roi_size", "used", f"{patch}")
        return patch

    def _plain(self, where: str, value: Any, deep: int = 0) -> Any:
        """A value that is data, or a reference to one."""
        if isinstance(value, str) and value.startswith("@") and value[1:] in self._inference:
            value = self._inference[value[1:]]
        if isinstance(value, list) and deep < _DEEPEST:
            return [self._plain(where, one, deep + 1) for one in value]
        if isinstance(value, str) and value[:1] in ("$", "%", "@"):
            self._refuse(where, f"{value[:1]} stands for code or another file, and only data is read")
            return None
        if isinstance(value, Mapping | list):
            self._refuse(where, "an object or a list of lists where a value should be")
            return None
        return value

    def _note(self, name: str, verdict: str, why: str) -> None:
        self.parts.append(Part(name, verdict, why))

    def _refuse(self, name: str, why: str) -> None:
        self._note(name, "refused", why)


def _document(source: Path, name: str) -> dict[str, Any]:
    """A configuration file, JSON or YAML; of the training one none may be there."""
    import yaml

    files = (source / "configs" / f"{name}{end}" for end in (".json", ".yaml", ".yml"))
    found = [path for path in files if path.is_file()]
    if not found:
        if name == "train":
            return {}
        raise BundleRefused("incomplete", f"the bundle has neither configs/{name}.json nor configs/{name}.yaml")
    if found[0].stat().st_size > 1024 * 1024:
        raise BundleRefused("unreadable", f"configs/{found[0].name} is larger than 1 MiB")
    try:
        text = found[0].read_text(encoding="utf-8")
        document = json.loads(text) if found[0].suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise BundleRefused("unreadable", f"configs/{found[0].name} can't be read as what its name says") from error
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise BundleRefused("unreadable", f"configs/{found[0].name} is not an object")
    return document


def _told(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def _rate(train: Mapping[str, Any]) -> float:
    """The learning rate that the bundle was trained with, brought down to where training further begins."""
    optimiser = train.get("optimizer")
    for found in (train.get("learning_rate"), optimiser.get("lr") if isinstance(optimiser, Mapping) else None):
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < 1:
            return float(found)
    return 1e-4
