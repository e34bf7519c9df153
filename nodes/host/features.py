"""What this pack does to a MODEL: features that declare their effects, and the one composer that applies them.

A Feature is plain data with a name, settings, what it changes and what it relies on. The composer refuses what cannot hold
together, puts its hooks on a clone, remembers it there, and carries it to another expert. Its fingerprint is part of the
identity of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MethodType
from typing import Any, ClassVar, TypeVar

import comfy.utils

from ...pusa_core.digest import digest
from ...pusa_core.errors import PusaError
from . import symbols

FEATURES = "pusa_features"
"""Attachment of a patched MODEL: the Features on it, in the order in which they were applied."""

OURS = "pusa_"
"""Every wrapper and callback of a feature has a key that begins like this."""

FOLLOW = OURS + "follow_the_model"


class Aspect(Enum):
    """Something of a MODEL that a feature can change, and that another can rely on; the value is how it is said."""

    AXIS_ORDER = "the order in which the model sees the latent frames"
    FORWARD = "the forward of the model's blocks"
    ATTENTION = "the model's self-attention"
    WEIGHTS = "the weights"
    OPTIONS = "the model's options"
    SAMPLING = "the noise levels of the frames"
    SIZE = "the size at which the first steps run"
    EXPERTS = "which model runs (both experts, one after the other)"


@dataclass(frozen=True)
class Hooks:
    """What a feature puts on a patcher: object patches by name, wrappers and callbacks by their kind."""

    object_patches: Mapping[str, Any] = field(default_factory=dict)
    wrappers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    callbacks: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


class Feature:
    """One thing that this pack does to a MODEL. Subclasses are frozen dataclasses; they hold settings, never state of a run."""

    name: ClassVar[str]
    """As the node is called, for sentences."""
    key: ClassVar[str]
    """Of its wrappers and callbacks; begins with OURS."""
    changes: ClassVar[frozenset[Aspect]] = frozenset()
    relies_on: ClassVar[frozenset[Aspect]] = frozenset()
    needs: ClassVar[tuple[str, ...]] = ()
    """Names of `symbols` without which it does not work."""
    adds_up: ClassVar[bool] = False
    """Whether a second one adds to the first (LoRAs do) instead of replacing it."""
    of_whole_runs: ClassVar[bool] = False
    """Whether it acts on a sampler's whole run, so that on a later stage alone it would do nothing."""
    remedy: ClassVar[str] = "Take one of the two nodes out."
    """What to do where another feature changes what this one relies on."""
    patches: ClassVar[tuple[Any, ...]] = ()
    """Classes of its object patches, and functions whose bound methods they are."""

    kinds: ClassVar[list[type[Feature]]] = []

    def __init_subclass__(cls) -> None:
        Feature.kinds.append(cls)

    def settings(self) -> Any:
        """All that decides the result, as a value that `digest` understands."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """The same for the same settings, in every session."""
        return digest([self.key, self.settings()])

    def hooks(self, patcher: Any) -> Hooks:
        """What goes onto this patcher."""
        return Hooks()

    def attach(self, patcher: Any) -> None:
        """Put the feature on a fresh clone."""
        hooks = self.hooks(patcher)
        for name, patch in hooks.object_patches.items():
            patcher.add_object_patch(name, patch)
        for kind, wrapper in hooks.wrappers.items():
            patcher.add_wrapper_with_key(kind, self.key, wrapper)
        for kind, callback in hooks.callbacks.items():
            patcher.remove_callbacks_with_key(kind, self.key)
            patcher.add_callback_with_key(kind, self.key, callback)

    def detach(self, patcher: Any) -> None:
        """Take the feature out of a clone."""
        for name, patch in list(patcher.object_patches.items()):
            if _made_by(patch, self.patches):
                del patcher.object_patches[name]
        for kind in list(patcher.wrappers):
            patcher.remove_wrappers_with_key(kind, self.key)
        for kind in list(patcher.callbacks):
            patcher.remove_callbacks_with_key(kind, self.key)

    def carry_to(self, patcher: Any) -> None:
        """Put the feature on a clone of the other expert, whose weights already have the patches made after the switch."""
        self.attach(patcher)

    def check(self, patcher: Any) -> None:
        """Refuse a MODEL that this feature cannot be put on."""

    def check_joining(self, model: Any) -> None:
        """Refuse a MODEL that is joined, as a later stage, to the one that carries this feature."""

    def models_inside(self) -> tuple[Any, ...]:
        """Models that run besides the one that carries this feature: later stages."""
        return ()


F = TypeVar("F", bound=Feature)


def features_of(patcher: Any) -> tuple[Feature, ...]:
    """The features on a MODEL, in the order in which they were applied."""
    return patcher.get_attachment(FEATURES) or ()


def feature_of(patcher: Any, kind: type[F]) -> F | None:
    """The last feature of this kind on a MODEL."""
    return next((one for one in reversed(features_of(patcher)) if isinstance(one, kind)), None)


def models_of(patcher: Any) -> tuple[Any, ...]:
    """The models that run where this MODEL is sampled: itself, and those of its later stages."""
    return (patcher, *(model for one in features_of(patcher) for model in one.models_inside()))


def apply(patcher: Any, feature: Feature) -> Any:
    """A clone of the MODEL with the feature on it; the MODEL stays as it is.

    Refuses what the feature cannot do on this ComfyUI, on this model, or beside the features that are there.
    """
    symbols.require(feature.name, feature.needs)
    models = models_of(patcher)
    for model in models:
        feature.check(model)
    staying = _staying(patcher, feature)
    check_pairs(feature, [*staying, *(one for model in models[1:] for one in features_of(model))])
    clone = patcher.clone()
    put(clone, feature, feature.attach)
    for one in staying:
        for model in feature.models_inside():
            one.check_joining(model)
    return clone


def put(clone: Any, feature: Feature, attach: Callable[[Any], None]) -> None:
    """Put a feature on a clone by one of its methods, in place of one of its kind, and remember it there."""
    staying = _staying(clone, feature)
    for one in features_of(clone):
        if one not in staying:
            one.detach(clone)
    attach(clone)
    remember(clone, (*staying, feature))
    if not symbols.missing(("CallbacksMP",)):
        clone.remove_callbacks_with_key(symbols.CallbacksMP.ON_CLONE, FOLLOW)
        clone.add_callback_with_key(symbols.CallbacksMP.ON_CLONE, FOLLOW, follow_the_model)


def follow_the_model(before: Any, clone: Any) -> None:
    """ON_CLONE callback: methods bound to the modules of one model are bound to the other's where a clone has another.

    ComfyUI samples such a clone for hook LoRAs under dynamic VRAM (get_non_dynamic_delegate) and on further GPUs.
    """
    if clone.model is before.model:
        return
    for name, patch in clone.object_patches.items():
        if isinstance(patch, MethodType) and patch.__self__ is owner_of(before.model, name):
            clone.object_patches[name] = MethodType(patch.__func__, owner_of(clone.model, name))


def owner_of(model: Any, name: str) -> Any:
    """What an object patch of this name is put on: a module, or the model itself for a name without dots."""
    path = name.rpartition(".")[0]
    return comfy.utils.get_attr(model, path) if path else model


def remember(patcher: Any, features: Iterable[Feature]) -> None:
    """Note on a clone which features it carries."""
    patcher.set_attachments(FEATURES, tuple(features))


def check_pairs(feature: Feature, others: Iterable[Feature]) -> None:
    """Refuse a feature beside one that changes what it relies on, or that relies on what it changes."""
    for other in others:
        for changing, relying in ((feature, other), (other, feature)):
            for aspect in Aspect:
                if aspect in changing.changes and aspect in relying.relies_on:
                    raise unreliable(changing, aspect, relying.name, relying.remedy)


def unreliable(changing: Feature, aspect: Aspect, relying: str, remedy: str) -> PusaError:
    """What is said where a feature changes what something relies on."""
    return PusaError(f"{changing.name} changes {aspect.value}, which {relying} relies on. {remedy}")


def is_ours(hook: Any) -> bool:
    """Whether an object patch was put there by a feature."""
    return any(_made_by(hook, kind.patches) for kind in Feature.kinds)


def others_object_patches(patcher: Any) -> dict[str, Any]:
    """Object patches that other nodes put on a MODEL."""
    return {name: patch for name, patch in patcher.object_patches.items() if not is_ours(patch)}


def others_hooks(by_kind: Mapping[str, Mapping[Any, list[Any]]]) -> dict[str, dict[Any, list[Any]]]:
    """Wrappers or callbacks {kind: {key: [...]}} without those of features."""
    return {
        kind: {key: hooks for key, hooks in by_key.items() if hooks and not str(key).startswith(OURS)}
        for kind, by_key in by_kind.items()
    }


def _staying(patcher: Any, feature: Feature) -> list[Feature]:
    """Features that stay beside this one."""
    return [one for one in features_of(patcher) if one.adds_up or type(one) is not type(feature)]


def _made_by(patch: Any, makers: tuple[Any, ...]) -> bool:
    function = getattr(patch, "__func__", None)
    return type(patch) in makers or (function is not None and function in makers)
