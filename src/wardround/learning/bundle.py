"""Model packages: MONAI Bundles whose configuration is data.

Layout of a bundle (MONAI Bundle specification, https://docs.monai.io/en/stable/bundle.html):
`configs/metadata.json`, `configs/{train,evaluate,inference}.json`, `models/model.safetensors` once trained,
`docs/README.md`, a licence. A finished model (`learning.finished`) is laid out alike.

MONAI's ConfigParser would run any code that a bundle names (`$` expressions, `_target_` of any import path); here only
known targets are accepted and nothing is evaluated. A bundle may bring the class of its network as Python of its own,
`scripts/MODULE.py`; that runs in a jail only (`compute.jailed`).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from wardround.contracts.metric import MetricName
from wardround.contracts.run_plan import Reads, RunPlan
from wardround.foundation.files import write_whole
from wardround.learning.arrays import Arrays, check, from_bytes, to_bytes
from wardround.learning.ensemble import LARGEST, members_of
from wardround.learning.fact import Target
from wardround.learning.finished import FINISHED, ONNX, ONNX_FILE, check_finished, is_finished
from wardround.learning.parts import (
    AnyPreparation,
    check_kind,
    check_network,
    metric_of,
    patterns_of,
    preparation_of,
)
from wardround.learning.parts import BundleRefused as BundleRefused
from wardround.learning.settings import Augmentation, Postprocessing, TrainingSetting
from wardround.learning.table import TablePreparation

CONFIGS = ("metadata.json", "train.json", "evaluate.json", "inference.json")
WEIGHTS = Path("models") / "model.safetensors"
TARGETS = frozenset(
    {
        "monai.networks.nets.AttentionUnet",
        "monai.networks.nets.BasicUNet",
        "monai.networks.nets.Classifier",
        "monai.networks.nets.DenseNet121",
        "monai.networks.nets.FullyConnectedNet",
        "monai.networks.nets.SegResNet",
        "monai.networks.nets.SwinUNETR",
        "monai.networks.nets.UNet",
        "monai.networks.nets.VNet",
        "torch.nn.Linear",
    }
)
"""What a `_target_` may name; `learning.network` knows how to build each."""
SCRIPTS = "scripts"
OWN_TARGET = re.compile(rf"{SCRIPTS}\.([a-z][a-z0-9_]{{0,60}})\.([A-Z][A-Za-z0-9_]{{0,60}})")
"""A `_target_` of the bundle's own: a class in one of its modules."""
EXPRESSIONS: frozenset[str] = frozenset()
"""The `$` expressions that a bundle may hold, to the letter."""
_METADATA = {
    "version": str,
    "monai_version": str,
    "pytorch_version": str,
    "numpy_version": str,
    "required_packages_version": dict,
    "task": str,
    "description": str,
    "authors": str,
    "copyright": str,
    "network_data_format": dict,
    "changelog": dict,
}
_SPECIAL = frozenset({"_target_", "_desc_"})


@dataclass(frozen=True)
class Bundle:
    """What a model package says, checked.

    network: MONAI's `network_def`, a `_target_` of `TARGETS` and its arguments.
    preparation: how cases are brought to the network; which of the three it is says what the package reads.
    target: what it tells of a person; None where it outlines something in an image.
    metric: how it is judged.
    weights: the file of the weights that it holds; None where training begins with fresh ones.
    fresh: patterns of those arrays that begin fresh though the package holds weights.
    settings: named ways to train it; `default` is always there.
    own_code: the network is a class of the package's own, so that everything that is done with it is done in a jail.
    members: how many such networks the weights are of, whose predictions are averaged (`learning.ensemble`).
    onnx: the file of a model that came as one.
    """

    name: str
    version: str
    network: Mapping[str, Any]
    preparation: AnyPreparation
    target: Target | None
    metric: MetricName
    postprocessing: Postprocessing
    augmentation: Augmentation
    settings: Mapping[str, TrainingSetting]
    weights: Path | None = None
    fresh: tuple[str, ...] = ()
    own_code: bool = False
    members: int = 1
    onnx: Path | None = None

    @property
    def reads(self) -> Reads:
        """What a site reads of each person for it."""
        if isinstance(self.preparation, TablePreparation):
            return "records"
        return "images" if self.target is None else "images-and-records"

    @property
    def finished(self) -> bool:
        """It is an ONNX file or a program, which is used as it is."""
        return is_finished(self.network)

    def check_trainable(self) -> None:
        """Raises `BundleRefused` (`finished`, `ensemble`) where a package is used as it is."""
        if self.finished:
            raise BundleRefused("finished", f"{self.name} came finished; it is used as it is, and can't be trained")
        if self.members > 1:
            raise BundleRefused(
                "ensemble", f"{self.name} is an ensemble, which is used as it is; train the package it is of"
            )

    def check_fits(self, plan: RunPlan) -> None:
        """Raises `BundleRefused` (`wrong-plan`) where a plan says of its package what isn't so; `finished`."""
        if self.finished:
            self.check_trainable()
        for word, said, own in (
            ("reads", plan.reads, self.reads),
            ("metric", plan.metric, self.metric),
            ("own_code", plan.own_code, self.own_code),
        ):
            if said != own:
                raise BundleRefused(
                    "wrong-plan", f"the plan's {word} is {said}, and {self.name} has {own}; correct the plan"
                )

    def facts_in_words(self) -> list[str]:
        """What is read of somebody's health record, and what is told of it, a line each."""
        columns = self.preparation.columns if isinstance(self.preparation, TablePreparation) else ()
        told = [] if self.target is None else [f"learns to tell: {self.target.fact.in_words()} ({self.target.kind})"]
        return [f"reads {column.name}: {column.fact.in_words()}" for column in columns] + told

    def setting(self, name: str = "default") -> TrainingSetting:
        """The training setting of this name. Raises `BundleRefused` (`unknown-setting`) where there is none."""
        if name not in self.settings:
            raise BundleRefused(
                "unknown-setting", f"{self.name} has no setting {name!r}; it has {', '.join(sorted(self.settings))}"
            )
        return self.settings[name]


def packaged(name: str = "brain-mri-glioma") -> Path:
    """The directory of a model package that is part of this installation.

    Raises:
        BundleRefused: `unknown-package`.
    """
    known = shipped()
    if name not in known:
        raise BundleRefused("unknown-package", f"no model package {name!r}; installed are {', '.join(known)}")
    return known[name]


def shipped() -> dict[str, Path]:
    """The directories of the model packages that are part of this installation, by name."""
    home = Path(__file__).parent.parent / "bundles"
    return {entry.name.replace("_", "-"): entry for entry in sorted(home.iterdir()) if (entry / "configs").is_dir()}


def read_bundle(directory: Path) -> Bundle:
    """Read and check the configuration of a bundle, weights aside.

    Raises:
        BundleRefused: `incomplete`, `unreadable`, `code` (a `$` expression, a `%` macro or a special key that
            MONAI would act on), `unknown-target`, `wrong-metadata`, `wrong-network`, `wrong-config`.
    """
    documents = {name: _read_json(directory, name) for name in CONFIGS}
    own = _own_module(documents["inference.json"])
    for name, document in documents.items():
        _check_data(document, name)
    metadata, inference, train = documents["metadata.json"], documents["inference.json"], documents["train.json"]
    for key, kind in _METADATA.items():
        if not isinstance(metadata.get(key), kind):
            raise BundleRefused("wrong-metadata", f"metadata.json: {key} is missing or not a {kind.__name__}")
    network = inference.get("network_def")
    if not isinstance(network, dict) or ("_target_" not in network and own is None):
        raise BundleRefused("wrong-network", "inference.json: network_def is missing or names no _target_")
    try:
        preparation = preparation_of(inference.get("preparation", {}))
        target = Target.from_mapping(inference["target"]) if "target" in inference else None
        metric = metric_of(documents["evaluate.json"], target)
        postprocessing = Postprocessing.from_mapping(inference.get("postprocessing", {}))
        augmentation = Augmentation.from_mapping(train.get("augmentation", {}))
        fresh = patterns_of(train.get("fresh", []))
        settings = {name: TrainingSetting.from_mapping(value) for name, value in train.get("settings", {}).items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise BundleRefused("wrong-config", f"inference.json or train.json: {error}") from error
    members = inference.get("members", 1)
    if not isinstance(members, int) or isinstance(members, bool) or not 1 <= members <= LARGEST:
        raise BundleRefused("wrong-config", f"inference.json: members is {members!r}, not a number from 1 to {LARGEST}")
    if members > 1 and own is not None:
        raise BundleRefused("wrong-config", "a package with Python of its own is no ensemble")
    if "default" not in settings:
        raise BundleRefused("wrong-config", "train.json: settings holds no default")
    check_kind(preparation, target)
    weights = directory / WEIGHTS if (directory / WEIGHTS).is_file() else None
    if own is not None:
        _check_own(directory, own, weights, fresh)
        network = {"_target_": own, **network}
    if is_finished(network):
        check_finished(directory, network, preparation, weights=weights is not None)
    else:
        check_network(network, preparation)
    return Bundle(
        name=str(metadata.get("name", directory.name)),
        version=metadata["version"],
        network=network,
        preparation=preparation,
        target=target,
        metric=metric,
        postprocessing=postprocessing,
        augmentation=augmentation,
        settings=settings,
        weights=weights,
        fresh=fresh,
        own_code=own is not None,
        members=members,
        onnx=directory / ONNX_FILE if network["_target_"] == ONNX else None,
    )


def load_bundle(directory: Path) -> tuple[Bundle, Arrays]:
    """A trained bundle: its checked configuration and its weights, none of a finished model.

    Raises:
        BundleRefused: as `read_bundle`, or `no-weights`.
        ArraysRefused: the weights are damaged or not finite.
    """
    bundle = read_bundle(directory)
    if bundle.finished:
        return bundle, {}
    path = directory / WEIGHTS
    if not path.is_file():
        raise BundleRefused("no-weights", f"the bundle has no {WEIGHTS.as_posix()}; export a trained model")
    arrays = from_bytes(path.read_bytes())
    check(arrays)
    return bundle, arrays


def export_bundle(arrays: Arrays, target: Path, metadata: Mapping[str, Any], *, package: Path | None = None) -> str:
    """Write a complete MONAI Bundle of the package with these weights to `target`, and return its digest.

    `metadata` is laid over the package's `metadata.json`, key by key. Of an ensemble's weights `inference.json` says
    how many `members` they are of.

    Raises:
        FileExistsError: `target` is there and isn't an empty directory.
        BundleRefused, ArraysRefused: package, metadata or weights aren't what they have to be.
    """
    source = package or packaged()
    read_bundle(source)
    check(arrays)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} is not an empty directory; choose another or empty it")
    changed = {"metadata.json": {**_read_json(source, "metadata.json"), **metadata}}
    _check_data(changed["metadata.json"], "metadata")
    if (members := members_of(arrays.keys())) > 1:
        changed["inference.json"] = {**_read_json(source, "inference.json"), "members": members}
    for path in files_of(source):
        if path.parent != Path("configs") or path.name not in changed:
            write_whole(target / path, (source / path).read_bytes(), mode=0o644)
    for name, document in changed.items():
        write_whole(target / "configs" / name, _json_bytes(document), mode=0o644)
    write_whole(target / WEIGHTS, to_bytes(arrays), mode=0o644)
    try:
        read_bundle(target)
    except BundleRefused:
        shutil.rmtree(target)
        raise
    return bundle_digest(target)


def bundle_digest(directory: Path) -> str:
    """SHA-256, in hexadecimal, of a bundle's files: their relative POSIX paths, in order, and their content.

    Caches of Python and hidden files don't count. Each path and each content goes in with its length before it
    (8 bytes, big-endian).

    Raises:
        BundleRefused: `unreadable`, a link or something else that isn't a plain file is among them; `incomplete`,
            there is no file.
    """
    state = sha256(b"wardround-bundle-1\n")
    names = sorted(files_of(directory), key=lambda path: path.as_posix())
    if not names:
        raise BundleRefused("incomplete", "the bundle's directory holds no file")
    for name in names:
        for part in (name.as_posix().encode(), (directory / name).read_bytes()):
            state.update(len(part).to_bytes(8, "big"))
            state.update(part)
    return state.hexdigest()


def files_of(directory: Path) -> Iterator[Path]:
    """The files that belong to a bundle, by their relative paths. Raises `BundleRefused` (`unreadable`) at a link."""
    for path in directory.rglob("*"):
        name = path.relative_to(directory)
        if any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            continue
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise BundleRefused("unreadable", f"{name.as_posix()} is not a plain file")
        if path.is_file():
            yield name


def _read_json(directory: Path, name: str) -> dict[str, Any]:
    path = directory / "configs" / name
    if not path.is_file():
        raise BundleRefused("incomplete", f"the bundle has no configs/{name}")
    if path.stat().st_size > 1024 * 1024:
        raise BundleRefused("unreadable", f"configs/{name} is larger than 1 MiB")
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleRefused("unreadable", f"configs/{name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BundleRefused("unreadable", f"configs/{name} is not a JSON object")
    return document


def _json_bytes(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _check_data(value: object, where: str) -> None:
    """Refuse whatever MONAI's ConfigParser would run, import or read in place of taking it as data."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str) or key.startswith(("$", "%", "@", "+")):
                raise BundleRefused("code", f"{where}: the key {key!r} is not a plain name")
            if key == "imports" or (key.startswith("_") and key not in _SPECIAL):
                raise BundleRefused("code", f"{where}: the key {key!r} would make MONAI act on it")
            if key == "_target_" and inner not in TARGETS | FINISHED:
                raise BundleRefused("unknown-target", f"{where}: _target_ {inner!r} is not one of {sorted(TARGETS)}")
            _check_data(inner, f"{where}: {key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_data(inner, where)
    elif isinstance(value, str):
        if value.startswith("$") and value not in EXPRESSIONS:
            raise BundleRefused("code", f"{where} holds a $ expression, which is code; only data is accepted")
        if value.startswith(("%", "__local_refs")):
            raise BundleRefused("code", f"{where} holds a % macro, which reads another file")
    elif not (value is None or isinstance(value, bool | int | float)):
        raise BundleRefused("wrong-config", f"{where} holds a {type(value).__name__}, which JSON can't")


def _own_module(inference: dict[str, Any]) -> str | None:
    """The network's class of the package's own, if that is what it names; it is then taken out of the document."""
    network = inference.get("network_def")
    if not isinstance(network, dict):
        return None
    target = network.get("_target_")
    if not isinstance(target, str) or OWN_TARGET.fullmatch(target) is None:
        return None
    del network["_target_"]
    return target


def _check_own(directory: Path, target: str, weights: Path | None, fresh: tuple[str, ...]) -> None:
    """Refuse a package with Python of its own that isn't whole, or that somebody would have to run to begin with it."""
    module = f"{SCRIPTS}/{target.split('.')[1]}.py"
    if not (directory / module).is_file():
        raise BundleRefused("incomplete", f"inference.json: network_def names {target}, and the bundle has no {module}")
    if weights is None or fresh:
        raise BundleRefused(
            "no-weights",
            f"a package with Python of its own brings the weights that training begins with, {WEIGHTS.as_posix()}, and "
            "none of them fresh: nobody else runs its code to make them",
        )
