"""What other nodes did to one patcher, done to another: LoRAs, options, wrappers, block patches after an expert switch."""

from __future__ import annotations

import inspect
import logging
import uuid
import weakref
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import Tensor

from ...pusa_core.errors import PusaError
from . import symbols
from .features import others_hooks, others_object_patches, owner_of
from .identity import value_identity

logger = logging.getLogger("ComfyUI-Pusa")

MULTIGPU = "multigpu"
"""Key of additional_models under which MultiGPU CFG Split keeps the copies of a model for further GPUs (0.33 and later)."""

BEFORE_THE_SWITCH = "Connect MultiGPU CFG Split before Wan2.2 MoE Switch, once for each expert."
AFTER_MERGING = (
    "Connect MultiGPU CFG Split after Merge LoRAs: its copies of the model would be without the LoRAs."
)

BYPASS_BEFORE_THE_SWITCH = (
    "A node after Wan2.2 MoE Switch injected something into the modules of the first model (Load LoRA (Bypass) does so), which the other "
    "model would be without. Connect that node before the switch, once for each expert."
)
BYPASS_AFTER_MERGING = (
    "A node before Merge LoRAs injected something into the modules of the model (Load LoRA (Bypass) does so), which the merged model would "
    "be without. Connect that node after Merge LoRAs."
)

PUT_AGAIN = (
    "What a node puts on a MODEL as {!r} is on the first model of a switch or of stages, and was put there again with the same settings "
    "after it. Keep only the node behind the switch: it acts on all models."
)

COMPILING = ("COMPILE_KEY", "TORCH_COMPILE_KWARGS", "set_torch_compile_wrapper")
"""Names of `symbols` with which TorchCompileModel's wrapper can be made for another model."""


def carry_over(before: Any, after: Any, onto: Any, same_weights: bool = False) -> None:
    """Do to the patcher `onto` what other nodes did between `before` and its descendant `after`.

    Weight patches (ours among them, so that their order stays), object patches, options, wrappers, callbacks. Injections hold the
    modules of the model they were made for, so another model's are refused. What features put there themselves is left out: they are
    carried by what they declare. same_weights: `onto` holds another copy of the same model, so that what was computed from the
    weights is right there too.
    """
    if after.additional_models.get(MULTIGPU) and not before.additional_models.get(MULTIGPU):
        raise PusaError(AFTER_MERGING if same_weights else BEFORE_THE_SWITCH)
    _carry_weights(before, after, onto)
    earlier = others_object_patches(before)
    for name, patch in others_object_patches(after).items():
        if earlier.get(name) is not patch:
            onto.add_object_patch(name, _for_other_model(name, patch, after.model, onto.model, same_weights))
    _merge(onto.model_options, _changed(before.model_options, after.model_options))
    _carry_wrappers(before, after, onto)
    for kind, by_key in others_hooks(after.callbacks).items():
        for key, callbacks in by_key.items():
            for callback in callbacks[len(before.callbacks.get(kind, {}).get(key, ())) :]:
                onto.add_callback_with_key(kind, key, callback)
    for key, injections in after.injections.items():
        if key not in before.injections:
            if onto.model is not after.model:
                raise PusaError(BYPASS_AFTER_MERGING if same_weights else BYPASS_BEFORE_THE_SWITCH)
            onto.set_injections(key, injections)


def _carry_weights(before: Any, after: Any, onto: Any) -> None:
    own = onto.patches_uuid  # before add_patches draws another
    added = {
        key: new
        for key, entries in after.patches.items()
        if (new := entries[len(before.patches.get(key, ())) :])
    }
    for key, entries in added.items():
        for strength_patch, value, strength_model, offset, function in entries:
            onto.add_patches({(key, offset, function): value}, strength_patch, strength_model)
    if added:
        # ComfyUI patches the weights anew when this changes: the same graph must give the same value, and stages of one model others
        onto.patches_uuid = uuid.uuid5(after.patches_uuid, str(own))


def _carry_wrappers(before: Any, after: Any, onto: Any) -> None:
    for kind, by_key in others_hooks(after.wrappers).items():
        for key, wrappers in by_key.items():
            earlier = before.wrappers.get(kind, {}).get(key, [])
            if wrappers == earlier:
                continue
            if any(wrapper not in wrappers for wrapper in earlier):  # replaced, not added to
                onto.remove_wrappers_with_key(kind, key)
            added = [wrapper for wrapper in wrappers if wrapper not in earlier]
            if not added and len(wrappers) > len(earlier):
                raise PusaError(PUT_AGAIN.format(key))
            if key in _compile_keys():
                added = [_compiled_for(wrapper, onto) for wrapper in added]
            for wrapper in added:
                onto.add_wrapper_with_key(kind, key, wrapper)


def _for_other_model(name: str, patch: Any, model: Any, other: Any, same_weights: bool) -> Any:
    """An object patch made for `model`, as `other` needs it: a method bound to a module is bound to the other's module."""
    if isinstance(patch, MethodType) and patch.__self__ is owner_of(model, name):
        if model is not other and not same_weights and _holds_tensors(patch.__func__):
            raise PusaError(
                f"A node after Wan2.2 MoE Switch patched {name} with values that the high-noise expert computed (NAG nodes do), "
                "which are wrong for the low-noise one. Connect that node before the switch, once for each expert."
            )
        return MethodType(patch.__func__, owner_of(other, name))
    if isinstance(patch, torch.nn.Module) and name.split(".")[0] == "diffusion_model" and model is not other:
        raise PusaError(
            f"A node after Wan2.2 MoE Switch replaced {name} of the high-noise expert by a module of its own, which cannot be "
            "done to the low-noise one. Connect that node before the switch, once for each expert."
        )
    return patch


def _holds_tensors(function: Any) -> bool:
    """Whether a function's closure holds a tensor, itself or as an attribute of an object that is no module."""
    held = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    owners = [value for value in held if not isinstance(value, torch.nn.Module)]
    held += [value for owner in owners for value in getattr(owner, "__dict__", {}).values()]
    return any(isinstance(value, Tensor) for value in held)


def _compile_keys() -> list[str]:
    return [] if symbols.missing(COMPILING) else [symbols.COMPILE_KEY]


def _compiled_for(wrapper: Any, model: Any) -> Any:
    """TorchCompileModel's wrapper for another model: it holds the compiled modules themselves, so it is made again.

    Once for a model, as the wrapper is looked up by its original; torch compiles when the modules are first called.
    """
    made = _compiled.setdefault(wrapper, weakref.WeakKeyDictionary())
    if model.model not in made:
        compiled = inspect.getclosurevars(wrapper).nonlocals.get("compiled_module_dict")
        if compiled is None:  # another pack's wrapper
            logger.info(
                "The low-noise expert runs uncompiled: connect the compile node before Wan2.2 MoE Switch, once for each expert."
            )
            return wrapper
        keys = list(compiled)
        trial = model.clone()
        settings = model.model_options[symbols.TORCH_COMPILE_KWARGS]
        symbols.set_torch_compile_wrapper(trial, keys=keys, **settings)
        made[model.model] = trial.get_wrappers(symbols.WrappersMP.APPLY_MODEL, symbols.COMPILE_KEY)[0]
    return made[model.model]


_compiled: weakref.WeakKeyDictionary[Any, weakref.WeakKeyDictionary[Any, Any]] = weakref.WeakKeyDictionary()


REMOVED = object()


@dataclass(frozen=True)
class Added:
    """New ends of a list of options."""

    values: list[Any]


def _changed(before: dict[Any, Any], after: dict[Any, Any]) -> dict[Any, Any]:
    """What became of `before`: new and replaced values, Added ends of lists, REMOVED keys, the same inside dicts.

    Values are compared by what they hold: ComfyUI copies the options deeply with every clone.
    """
    changed: dict[Any, Any] = {key: REMOVED for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            changed[key] = value
        elif isinstance(value, dict) and isinstance(before[key], dict):
            if inner := _changed(before[key], value):
                changed[key] = inner
        elif isinstance(value, list) and isinstance(before[key], list):
            kept = len(before[key])
            if not _same(before[key], value[:kept]):
                changed[key] = value
            elif len(value) > kept:
                changed[key] = Added(value[kept:])
        elif not _same(before[key], value):
            changed[key] = value
    return changed


def _same(before: Any, after: Any) -> bool:
    return before is after or value_identity(before) == value_identity(after)


def _merge(onto: dict[Any, Any], changed: dict[Any, Any]) -> None:
    for key, value in changed.items():
        if value is REMOVED:
            onto.pop(key, None)
        elif isinstance(value, Added):
            onto[key] = [*onto.get(key, ()), *value.values]
        elif isinstance(value, dict) and isinstance(onto.get(key), dict):
            _merge(onto[key], value)
        else:
            onto[key] = value
